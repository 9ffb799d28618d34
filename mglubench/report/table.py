"""A table: typed columns and plain rows, independent of how it will be shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

from mglubench.system.plain_text import plain

LONGEST_CELL = 2000
Row = Mapping[str, object]
Formatter = Callable[[Row], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: name in the rows, and in CSV and JSON. title: heading, with its unit.
        show: text of a cell from its whole row (an interval needs three values). text: left-aligned if true.
        spare: how soon it goes where a screen lacks room, the highest first; 0 for what always stays.
        prose: whether its cells may be broken over several lines.
    """

    key: str
    title: str
    show: Formatter
    text: bool = False
    spare: int = 5
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain values under columns.

    Attributes:
        notes: sentences below the table: what is divided by what, what is counted.
        best: key of a row value that is true where the row deserves emphasis.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)
    best: str = ""

    def cells(self, row: Row) -> list[str]:
        """Text of one row; what an old row holds of a stranger's words is harmless here at the latest."""
        return [plain(column.show(row), LONGEST_CELL) for column in self.columns]


def text(key: str) -> Formatter:
    """The value as it is; nothing for a missing one."""
    return lambda row: "" if missing(row.get(key)) else str(row[key])


def named(key: str, title: str = "", show: Formatter | None = None) -> Column:
    """A column of names, which are there on every screen."""
    return Column(key, title or key, show or text(key), text=True, spare=0)


def prose(key: str, title: str = "", *, spare: int = 0) -> Column:
    """A column of sentences, which may be broken over several lines."""
    return Column(key, title or key, text(key), text=True, spare=spare, prose=True)


def number(key: str, pattern: str, scale: float = 1.0) -> Formatter:
    """The value through a format pattern; a dash for a missing one."""

    def show(row: Row) -> str:
        value = figure(row, key)
        return "-" if value is None else format(value * scale, pattern)

    return show


def ratio(key: str) -> Formatter:
    """A speed-up with its 95 % interval, from ``key``, ``key_low`` and ``key_high``."""

    def show(row: Row) -> str:
        value, low, high = (figure(row, name) for name in (key, f"{key}_low", f"{key}_high"))
        if value is None:
            return "-"
        if low is None or high is None or low == high:
            return times(value)
        return f"{times(value)} [{times(low)}, {times(high)}]"

    return show


def times(value: float) -> str:
    """A factor with about three significant digits."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 4
    return f"{value:.{digits}f}"


def missing(value: object) -> bool:
    """None and NaN are missing; so is the empty text."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def figure(row: Row, key: str) -> float | None:
    """A number of a row; ``None`` where it is missing."""
    value = row.get(key)
    return float(value) if isinstance(value, Real) and not missing(value) else None


def masks(row: Row) -> str:
    """The number of masks; nothing for a layer without."""
    return str(row["nm"] or "")


# What names a row of most tables.
VARIANT, NM = named("variant"), Column("nm", "nm", masks, spare=0)


def amount(row: Row, key: str) -> float:
    """A number that a row must have, not-a-number if it lacks it."""
    value = figure(row, key)
    return math.nan if value is None else value
