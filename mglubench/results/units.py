"""Nsight Compute's words for units, and what they are in its base units: bytes, sectors, nanoseconds, per cent."""

from __future__ import annotations

_PREFIXES = {"": 1.0, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_TIMES = {"n": 1.0, "u": 1e3, "\u00b5": 1e3, "\u03bc": 1e3, "m": 1e6, "": 1e9}
# Quantity and factor by word.
UNITS: dict[str, tuple[str, float]] = {
    **{f"{p}{word}": ("bytes", f) for p, f in _PREFIXES.items() for word in ("byte", "bytes", "B")},
    **{f"{p}{word}": ("bytes", f) for p, f in _BINARY.items() for word in ("byte", "bytes", "B")},
    **{f"{p}{word}": ("sectors", f) for p, f in _PREFIXES.items() for word in ("sector", "sectors")},
    **{f"{p}{word}": ("time", f) for p, f in _TIMES.items() for word in ("s", "sec", "second", "seconds")},
    "%": ("percent", 1.0),
}


def quantity_of(metric: str) -> str:
    """What a counter counts, by its name: ``bytes``, ``sectors``, ``time`` or ``percent``."""
    base, _, rest = metric.partition(".")
    if "pct" in rest:
        return "percent"
    return next(what for what in ("bytes", "sectors", "time") if what in base)


def scaled(value: float, unit: str, metric: str) -> float:
    """A figure in base units; no unit is the base unit.

    Raises:
        ValueError: a unit that is not known, or that of another quantity, or a figure below zero.
    """
    word = unit.strip()
    if value < 0:
        raise ValueError(f"{metric} is below zero ({value:g})")
    if not word:
        return value
    if word not in UNITS:
        raise ValueError(f"unknown unit {unit!r}")
    quantity, factor = UNITS[word]
    if quantity != quantity_of(metric):
        raise ValueError(f"{metric} has the unit {unit!r}, which is one of {quantity}")
    return value * factor
