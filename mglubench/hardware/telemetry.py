"""What the GPU was doing meanwhile: clocks, power, temperature and throttle reasons, read through NVML.

Nothing here changes a setting of the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

# A sample taken below this share of the expected SM clock says more about the clock than about the kernel.
SLOWEST_CLOCK = 0.75

_THROTTLE = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}


class GpuTelemetry:
    """NVML readings of one GPU; every reading that the card refuses is left out.

    Args:
        index: NVML's number of the card. uuid: ``GPU-...``, which goes before the number where NVML knows it.
    """

    def __init__(self, index: int, uuid: str | None = None) -> None:
        self._nvml = nvml()
        self._handle = _handle(self._nvml, index, uuid) if self._nvml else None

    @classmethod
    def of_cuda(cls, device: str) -> GpuTelemetry:
        """Of torch's device ``cuda:N``, whose numbers CUDA_VISIBLE_DEVICES may shuffle against NVML's."""
        import torch

        index = torch.device(device).index or 0
        uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
        return cls(index, f"GPU-{uuid}" if uuid else None)

    @property
    def available(self) -> bool:
        """Whether NVML answers for this GPU."""
        return self._handle is not None

    def read(self) -> dict[str, Any]:
        """Current values: ``sm_mhz``, ``memory_mhz``, ``watts``, ``celsius``, ``throttle`` (list of words)."""
        if self._handle is None:
            return {}
        pynvml, handle = self._nvml, self._handle
        values = {
            "sm_mhz": _ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            "memory_mhz": _ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            "watts": _scaled(_ask(pynvml.nvmlDeviceGetPowerUsage, handle), 1e-3),
            "celsius": _ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            "throttle": throttle_words(_ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)),
        }
        return {key: value for key, value in values.items() if value is not None}

    def expected_sm_mhz(self) -> float | None:
        """The SM clock that the card would run at: its application clock, else its maximum."""
        if self._handle is None:
            return None
        pynvml, handle = self._nvml, self._handle
        clock = _ask(pynvml.nvmlDeviceGetApplicationsClock, handle, pynvml.NVML_CLOCK_SM)
        clock = clock or _ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM)
        return float(clock) if clock else None

    def record(self) -> dict[str, Any]:
        """What identifies the card, for the environment record."""
        if self._handle is None:
            return {}
        pynvml, handle = self._nvml, self._handle
        values = {
            "name": _text(_ask(pynvml.nvmlDeviceGetName, handle)),
            "uuid": _text(_ask(pynvml.nvmlDeviceGetUUID, handle)),
            "driver": _text(_ask(pynvml.nvmlSystemGetDriverVersion)),
            "memory_bytes": getattr(_ask(pynvml.nvmlDeviceGetMemoryInfo, handle), "total", None),
            "sm_mhz_max": _ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
            "memory_mhz_max": _ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            "power_limit_watts": _scaled(_ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle), 1e-3),
            "mig": (_ask(pynvml.nvmlDeviceGetMigMode, handle) or [None])[0],
            "ecc": (_ask(pynvml.nvmlDeviceGetEccMode, handle) or [None])[0],
        }
        return {key: value for key, value in values.items() if value is not None}


def too_slow(readings: Sequence[dict[str, Any]], expected: float | None) -> bool:
    """Whether any reading of a block shows an SM clock below 75 % of the expected one."""
    clocks = [reading["sm_mhz"] for reading in readings if "sm_mhz" in reading]
    return bool(expected and clocks and min(clocks) < SLOWEST_CLOCK * expected)


def throttle_words(mask: int | None) -> list[str] | None:
    """NVML's throttle bit mask in words; idle is no throttling."""
    if mask is None:
        return None
    return [word for bit, word in _THROTTLE.items() if mask & bit and bit != 0x1]


@cache
def nvml() -> Any:
    """The initialised ``pynvml`` module, or ``None`` where there is no NVIDIA driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        # A missing driver, library or permission: there is no GPU to ask, and that is a normal state.
        return None
    return pynvml


def _handle(pynvml: Any, index: int, uuid: str | None) -> Any:
    found = _ask(pynvml.nvmlDeviceGetHandleByUUID, uuid) if uuid else None
    return found or _ask(pynvml.nvmlDeviceGetHandleByIndex, index)


def _ask(function: Any, *args: Any) -> Any:
    """Call NVML; ``None`` if this card or driver does not support the question."""
    try:
        return function(*args)
    except Exception:
        return None


def _scaled(value: Any, factor: float) -> float | None:
    return None if value is None else round(float(value) * factor, 3)


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
