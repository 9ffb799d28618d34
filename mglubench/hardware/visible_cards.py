"""The CUDA devices that this process may use, by names that a process of its own can be given; asks NVML, not CUDA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

from mglubench.hardware.telemetry import card_count, nvml

VISIBLE = "CUDA_VISIBLE_DEVICES"


def device_uuids() -> list[str]:
    """As CUDA_VISIBLE_DEVICES has them, if it is set; else the UUIDs of all cards, or of the slices of a MIG card."""
    if (visible := os.environ.get(VISIBLE)) is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    pynvml = nvml()
    return [uuid for index in range(card_count()) for uuid in _devices_of(pynvml, index)]


def _devices_of(pynvml: ModuleType, index: int) -> Iterator[str]:
    card = pynvml.nvmlDeviceGetHandleByIndex(index)
    slices = [uuid for number in range(_slices(pynvml, card)) if (uuid := _slice(pynvml, card, number))]
    yield from slices or [_text(pynvml.nvmlDeviceGetUUID(card))]


def _slices(pynvml: ModuleType, card: object) -> int:
    """How many slices a card may have; none where it knows no slices or is whole."""
    try:
        return int(pynvml.nvmlDeviceGetMaxMigDeviceCount(card)) if pynvml.nvmlDeviceGetMigMode(card)[0] else 0
    except pynvml.NVMLError:
        return 0


def _slice(pynvml: ModuleType, card: object, number: int) -> str:
    try:
        return _text(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, number)))
    except pynvml.NVMLError:
        return ""


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
