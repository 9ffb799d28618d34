"""Roofs: what a device's memory and arithmetic can give at most, measured first, then by its datasheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglubench.cases.case import Case, Setting
from mglubench.hardware.gpus import GpuData, gpu_of_device
from mglubench.layer.declared import declare
from mglubench.results.ceilings import L2, MEMORY, PRODUCT, ceilings_of, device_of, place_of, remembered

if TYPE_CHECKING:
    import pandas as pd

SINGLE = "float32"


@dataclass(frozen=True, slots=True)
class Roof:
    """One roof.

    Attributes:
        rate: bytes/s of a memory roof, FLOP/s of a compute roof. label: as drawn.
        measured: on this device; a datasheet's otherwise.
    """

    rate: float
    label: str
    measured: bool


@dataclass(frozen=True, slots=True)
class Roofs:
    """Those of one device; ``l2_bytes`` is the size of its L2 cache, if known."""

    device: str
    memory: tuple[Roof, ...]
    compute: tuple[Roof, ...]
    l2_bytes: float | None


def roofs_of(frame: pd.DataFrame, device: str, dtype: str) -> Roofs:
    """The roofs for weights of ``dtype`` on one device of a run: measured ones solid, datasheet ones dashed.

    Measured: by the run itself, else by the last run that measured this device. Memory: DRAM and, on a GPU, L2.
    Compute: matrix products in ``dtype`` and in float32; on a GPU these are the tensor cores and the CUDA cores. A CPU
    has no datasheet here.
    """
    known = device_of(frame, device)
    name = known.name if known and known.name else device
    on_gpu = device.startswith("cuda")
    gpu = gpu_of_device(name) if on_gpu else None
    measured = _measured(frame, device, place_of(known) if known and known.name else name)
    memory, compute = [], []
    for kind, unit in ((MEMORY, "memory"), (L2, "L2")):
        if kind in measured:
            memory.append(_measured_roof(unit, measured[kind], _gb))
    if gpu:
        memory.append(Roof(gpu.bandwidth, f"datasheet {_gb(gpu.bandwidth)}", measured=False))
    for one in dict.fromkeys((dtype, SINGLE)):
        unit = _unit(one, on_gpu=on_gpu)
        sold = _sold(gpu, one)
        if f"{PRODUCT}/{one}" in measured:
            compute.append(_measured_roof(unit, measured[f"{PRODUCT}/{one}"], _flops))
        if sold:
            compute.append(Roof(sold, f"{unit}, datasheet {_flops(sold)}", measured=False))
    return Roofs(name, tuple(memory), tuple(compute), known.l2_size if known else None)


def floor_us(setting: Setting, nm: int, ceiling: float) -> float:
    """Microseconds that the bytes of a bit-packed MGLU take at the measured ceiling."""
    case = Case("", setting.h, setting.d, nm, setting.batch, setting.dtype, weights=setting.weights)
    return declare("mglu", case).total / ceiling / 1e3


def _measured(frame: pd.DataFrame, device: str, place: str) -> dict[str, tuple[float, str]]:
    """Rate by kind, and how to call it: ``measured`` by the run, or when by an earlier or a later one."""
    by_others = {} if frame.attrs.get("run", {}).get("fake") else remembered(place)
    found = {kind: (ceiling.rate, f"measured {ceiling.time[:10]}") for kind, ceiling in by_others.items()}
    return found | {kind: (rate, "measured") for kind, rate in ceilings_of(frame, device).items()}


def _measured_roof(unit: str, found: tuple[float, str], words: Callable[[float], str]) -> Roof:
    rate, how = found
    return Roof(rate, f"{unit}, {how} {words(rate)}", measured=True)


def _unit(dtype: str, *, on_gpu: bool) -> str:
    if not on_gpu:
        return f"matrix product, {dtype}"
    return "CUDA cores, fp32" if dtype == SINGLE else "tensor cores"


def _sold(gpu: GpuData | None, dtype: str) -> float | None:
    """The datasheet's rate of the unit that takes ``dtype``."""
    if gpu is None:
        return None
    return gpu.cuda_core_flops if dtype == SINGLE else gpu.tensor_flops(dtype)


def _gb(rate: float) -> str:
    return f"{rate / 1e9:,.0f} GB/s"


def _flops(rate: float) -> str:
    return f"{rate / 1e12:,.0f} TFLOP/s" if rate >= 1e13 else f"{rate / 1e9:,.0f} GFLOP/s"
