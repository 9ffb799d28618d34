"""Ranges of whole numbers, as the command line and sweep files take them: ``1..8`` and ``pow2:256..4096``."""

from __future__ import annotations

from mglubench.errors import UsageError

# Longer ranges are a slip of the pen; each value is a case at least.
MOST = 1000
POWERS = "pow2:"


def numbers_in(item: object, what: str) -> list[object]:
    """The values that an entry of a list stands for: those of a range, else itself.

    Raises:
        UsageError: a range without ends, one that goes down, or one of more than :data:`MOST` values.
    """
    text = str(item).strip()
    low, dots, high = text.removeprefix(POWERS).partition("..")
    if not dots and not text.startswith(POWERS):
        return [item]
    if not (low.isdecimal() and high.isdecimal()):
        raise UsageError(f"{what} has the range {text!r}; write 1..8, or pow2:256..4096 for powers of two")
    first, last = int(low), int(high)
    if text.startswith(POWERS):
        found = [1 << k for k in range(last.bit_length()) if first <= 1 << k <= last]
    else:
        found = list(range(first, min(last, first + MOST) + 1))
    if not found or len(found) > MOST:
        raise UsageError(f"{what} has the range {text!r}, which holds {'no value' if not found else 'too many values'}")
    return list(found)
