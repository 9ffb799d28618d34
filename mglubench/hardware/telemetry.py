"""What the GPU was doing meanwhile: clocks, power, temperature and throttle reasons, read through NVML.

Nothing here changes a setting of the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

from mglubench.hardware.devices import Card, Reading

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
    """NVML readings of one card; every reading that the card refuses is left out.

    Args:
        index: NVML's number of the card. uuid: CUDA's of the device, without a prefix, which goes before the number. Of
            a MIG slice, the card that it is a part of is read: clocks, power and temperature are the whole card's.
    """

    def __init__(self, index: int, uuid: str | None = None) -> None:
        self._nvml = nvml()
        self.uuid, self._handle = _card(self._nvml, index, uuid)

    @classmethod
    def of_cuda(cls, device: str) -> GpuTelemetry:
        """Of torch's device ``cuda:N``, whose numbers CUDA_VISIBLE_DEVICES may shuffle against NVML's."""
        import torch

        index = torch.device(device).index or 0
        uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
        return cls(index, str(uuid) if uuid else None)

    @property
    def available(self) -> bool:
        """Whether NVML answers for this GPU."""
        return self._handle is not None

    def read(self) -> Reading:
        """Current values, those that the card tells."""
        watts = _scaled(self._of_card("nvmlDeviceGetPowerUsage"), 1e-3)
        values = {
            "sm_mhz": self._clock("nvmlDeviceGetClockInfo", "SM"),
            "memory_mhz": self._clock("nvmlDeviceGetClockInfo", "MEM"),
            "watts": watts,
            "celsius": self._of_card("nvmlDeviceGetTemperature", getattr(self._nvml, "NVML_TEMPERATURE_GPU", 0)),
            "throttle": throttle_words(self._of_card("nvmlDeviceGetCurrentClocksThrottleReasons")),
        }
        return cast(Reading, {key: value for key, value in values.items() if value is not None})

    def expected_sm_mhz(self) -> float | None:
        """The SM clock that the card would run at: its application clock, else its maximum."""
        clock = self._clock("nvmlDeviceGetApplicationsClock", "SM") or self._clock("nvmlDeviceGetMaxClockInfo", "SM")
        return float(clock) if clock else None

    def card(self) -> Card | None:
        """What identifies the card; ``None`` if NVML does not know it."""
        if self._handle is None:
            return None
        return Card(
            name=_text(self._of_card("nvmlDeviceGetName")),
            uuid=_text(self._of_card("nvmlDeviceGetUUID")),
            driver=driver_version(),
            memory_bytes=getattr(self._of_card("nvmlDeviceGetMemoryInfo"), "total", None),
            sm_mhz_max=self._clock("nvmlDeviceGetMaxClockInfo", "SM"),
            memory_mhz_max=self._clock("nvmlDeviceGetMaxClockInfo", "MEM"),
            power_limit_watts=_scaled(self._of_card("nvmlDeviceGetEnforcedPowerLimit"), 1e-3),
            mig=(self._of_card("nvmlDeviceGetMigMode") or [None])[0],
            ecc=(self._of_card("nvmlDeviceGetEccMode") or [None])[0],
        )

    def _of_card(self, question: str, *args: object) -> Any:
        return None if self._handle is None else _ask(self._nvml, question, self._handle, *args)

    def _clock(self, question: str, which: str) -> int | None:
        clock = self._of_card(question, getattr(self._nvml, f"NVML_CLOCK_{which}", None))
        return int(clock) if clock is not None else None


def too_slow(readings: Sequence[Reading], expected: float | None) -> bool:
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


def driver_version() -> str | None:
    """Of NVIDIA's driver; ``None`` where NVML does not tell."""
    return _text(_ask(nvml(), "nvmlSystemGetDriverVersion"))


def card_count() -> int:
    """Cards that NVML knows; 0 where it does not tell."""
    return int(_ask(nvml(), "nvmlDeviceGetCount") or 0)


def _card(pynvml: Any, index: int, uuid: str | None) -> tuple[str | None, Any]:
    """A device's UUID with its prefix, and NVML's handle of its card; nothing rather than another card's.

    CUDA numbers the devices that it may use, and a MIG slice by the slice: with a UUID, its number proves nothing.
    """
    if uuid is None:
        handle = _ask(pynvml, "nvmlDeviceGetHandleByIndex", index)
        return (_text(_ask(pynvml, "nvmlDeviceGetUUID", handle)) if handle is not None else None), handle
    if (card := _ask(pynvml, "nvmlDeviceGetHandleByUUID", f"GPU-{uuid}")) is not None:
        return f"GPU-{uuid}", card
    if (part := _ask(pynvml, "nvmlDeviceGetHandleByUUID", f"MIG-{uuid}")) is not None:
        return f"MIG-{uuid}", _ask(pynvml, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", part)
    # A driver that knows neither name; where there is one card, it is that one.
    alone = _ask(pynvml, "nvmlDeviceGetCount") == 1
    return None, _ask(pynvml, "nvmlDeviceGetHandleByIndex", 0) if alone else None


def _ask(pynvml: Any, question: str, *args: object) -> Any:
    """Call NVML; ``None`` if there is none, or if this card, driver or package does not support the question."""
    try:
        return getattr(pynvml, question)(*args)
    except Exception:
        return None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(float(value) * factor, 3)


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
