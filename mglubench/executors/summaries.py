"""Readings of a device while a case was measured, in a few figures."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.hardware.devices import Reading
from mglubench.measure.measurement import Summary
from mglubench.stats import median


def summarise(readings: Sequence[Reading]) -> Summary:
    """Medians of readings, extremes of a GPU's clock, and every throttle reason that was seen."""
    if not readings:
        return {}
    numbers: dict[str, list[float]] = {}
    for reading in readings:
        for key, value in reading.items():
            if isinstance(value, int | float):
                numbers.setdefault(key, []).append(value)
    summary: Summary = {key: median(values) for key, values in sorted(numbers.items())}
    if pools := sorted({reading["pool"] for reading in readings if "pool" in reading}):
        summary["pool"] = ", ".join(pools)
    clocks = [reading["sm_mhz"] for reading in readings if "sm_mhz" in reading]
    if clocks:
        summary |= {"sm_mhz_min": min(clocks), "sm_mhz_max": max(clocks)}
    if not any("throttle" in reading for reading in readings):
        return summary
    summary["throttle"] = sorted({word for reading in readings for word in reading.get("throttle", [])})
    return summary
