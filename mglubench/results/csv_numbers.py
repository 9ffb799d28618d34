"""Numbers as a locale writes them: which mark is the decimal one is decided once per file, never guessed per cell.

ncu groups digits and sets decimals by the locale of the shell that it ran in: ``147,000,000``, ``147.000.000``,
``147 000 000``, ``147'000'000``, ``14,70,00,000`` and ``147,00`` all occur. A cell that reads in one way only tells how
the whole file is written; ``12,345`` alone tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Mark = Literal[".", ","]
MARKS: tuple[Mark, Mark] = (".", ",")
_OTHER: dict[str, str] = {".": ",", ",": "."}
# Blank, no-break space, figure space, thin space, narrow no-break space; apostrophes.
_SPACES = " \u00a0\u2007\u2009\u202f"
_APOSTROPHES = "'\u2019"
_SHAPE = re.compile(rf"([+-]?)([0-9.,{_SPACES}{_APOSTROPHES}]*[0-9][0-9.,{_SPACES}{_APOSTROPHES}]*)([eE][+-]?[0-9]+)?")
_GROUPED = "(?:[1-9][0-9]{{0,2}}(?:{0}[0-9]{{3}})+|[1-9][0-9]?(?:{0}[0-9]{{2}})+{0}[0-9]{{3}})"  # western, Indian
_INSTANCES = re.compile(r"(^|\s+)\(.*\)$")


def plain(cell: str) -> str:
    """A cell without what ncu writes around the figure: ``(!)`` before it, its instances in brackets after it."""
    text = cell.strip().removeprefix("(!)").strip()
    return _INSTANCES.sub("", text).strip()


def decimal_mark(cells: Iterable[str]) -> Mark | None:
    """The decimal mark of a file by its cells; ``None`` if no cell tells.

    Raises:
        ValueError: two cells contradict each other; both are in the message.
    """
    told: dict[Mark, str] = {}
    for cell in cells:
        readings = _readings(plain(cell))
        if len(readings) == 1:
            told.setdefault(next(iter(readings)), cell.strip())
    if len(told) > 1:
        raise ValueError(f"{told['.']!r} and {told[',']!r} are written in two different ways")
    return next(iter(told), None)


def number(cell: str, mark: Mark | None) -> float | None:
    """The figure of a cell; ``None`` where it holds none (``n/a``, ``nan``, ``inf``, nothing, only instances).

    Raises:
        ValueError: digits that are no number under this mark, or that can be read in two ways.
    """
    text = plain(cell)
    if not any(sign.isdigit() for sign in text):
        return None
    readings = _readings(text)
    if mark is None and len(set(readings.values())) > 1:
        raise ValueError(f"{text!r} can be read in two ways, and no other figure tells which mark is the decimal one")
    value = readings.get(mark, None) if mark else next(iter(readings.values()), None)
    if value is None:
        raise ValueError(f"{text!r} is no number" + (f" where {mark!r} is the decimal mark" if mark else ""))
    return value


def _readings(text: str) -> dict[Mark, float]:
    """What a text says under each decimal mark that it can have."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return {}
    sign, body, exponent = match[1], match[2], match[3] or ""
    found: dict[Mark, float] = {}
    for mark in MARKS:
        whole, there, fraction = body.partition(mark)
        sound = re.fullmatch("[0-9]+", fraction) if there else True
        if sound and (digits := _whole(whole, _OTHER[mark], exponent)) is not None:
            found[mark] = float(f"{sign}{digits or '0'}.{fraction or '0'}{exponent}")
    return found


def _whole(text: str, other: str, exponent: str) -> str | None:
    """The digits before the decimal mark, without grouping by one sign; ``None`` if they are not grouped properly."""
    if re.fullmatch("[0-9]*", text):
        return text
    for sign in (other, *_SPACES, *_APOSTROPHES):
        if not exponent and re.fullmatch(_GROUPED.format(re.escape(sign)), text):
            return text.replace(sign, "")
    return None
