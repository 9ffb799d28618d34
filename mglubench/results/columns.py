"""Rows into columns: typed arrays, built a slice of rows at a time; a million rows take seconds and little room.

Texts are few and repeated, so a column of them is a list of words and a number per row; latencies of all rows with
equally many samples are sorted at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mglubench.cases.axes import AXES
from mglubench.measure.measurement import Round
from mglubench.results.round_latencies import latencies_by_rounds
from mglubench.results.rows import Row
from mglubench.stats import lower_rank

T = TypeVar("T")
Floats = npt.NDArray[np.float64]

SLICE = 8192
LATENCIES = ("latency_us", "latency_p5_us", "latency_p95_us", "latency_low_us", "latency_high_us")
# Parts of a ledger and the columns that they become.
LEDGER = (
    *((part, f"bytes_{part}") for part in ("weights", "masks", "x", "y", "scratch", "total")),
    ("flops", "flops"),
)
OVERHEAD = ("prepare", "sampling", "check", "isolation")
_PARTS = tuple(part for part, _ in LEDGER)
_TEXTS = ("status", "reason", "layer", "stop", "timer")
_axes = attrgetter(*(f"case.{name}" for name in AXES))
_texts = attrgetter(*_TEXTS)
_count = attrgetter("count")


class Columns:
    """The columns of a frame while rows come in."""

    def __init__(self, samples: bool) -> None:
        self._samples = samples
        self._keys: list[str] = []
        self._words: dict[str, _Words] = {}
        self._wholes: dict[str, list[npt.NDArray[np.int64]]] = {}
        self._floats: dict[str, list[Floats]] = {}
        self._lists: list[list[int | float]] = []
        self._rounds: list[list[Round]] = []
        self._rare: dict[str, _Rare] = {}

    def read(self, rows: Iterable[Row]) -> None:
        """Take in all rows."""
        source = iter(rows)
        self._add([])
        while some := list(islice(source, SLICE)):
            self._add(some)

    @property
    def keys(self) -> Sequence[str]:
        """Of all rows, in their order."""
        return self._keys

    def arrays(self) -> dict[str, object]:
        """Columns by name, in the documented order."""
        wholes = {name: np.concatenate(parts) for name, parts in self._wholes.items()}
        floats = {name: np.concatenate(parts) for name, parts in self._floats.items()}
        words = {name: column.array() for name, column in self._words.items()}
        found: dict[str, object] = {"key": self._keys, "status": words["status"], "reason": words["reason"]}
        found |= {name: wholes[name] if name in wholes else words[name] for name in (*AXES, "layer")}
        found |= {name: floats[name] for name in LATENCIES}
        found |= {name: wholes[name] for name in ("samples", "discarded", "rounds", "processes", "set")}
        found |= {"stop": words["stop"], "timer": words["timer"]}
        found |= {name: column for name, column in floats.items() if name not in found}
        found["notes"] = words["notes"]
        if self._samples:
            found["samples_ns"] = self._lists
            found["rounds_of"] = self._rounds
        return found

    def rare(self) -> dict[str, list[object]]:
        """Columns that only some rows have, in the order of their first."""
        return {name: column.values(len(self._keys)) for name, column in self._rare.items()}

    def _add(self, rows: Sequence[Row]) -> None:
        start = len(self._keys)
        self._keys += [row.key for row in rows]
        for (name, axis), values in zip(AXES.items(), _turned(map(_axes, rows), len(AXES)), strict=True):
            if isinstance(axis.walked[0], int):
                self._whole(name, values)
            else:
                self._text(name, values)
        for name, values in zip(_TEXTS, _turned(map(_texts, rows), len(_TEXTS)), strict=True):
            self._text(name, values)
        self._text("notes", ["; ".join(row.notes) for row in rows])
        samples = [row.samples for row in rows]
        self._whole("samples", list(map(len, samples)))
        self._whole("discarded", [row.discarded for row in rows])
        counts = [list(map(_count, row.rounds)) for row in rows]
        turns = [len(of_row) - of_row.count(0) for of_row in counts]
        self._whole("rounds", [found or (row.samples != []) for found, row in zip(turns, rows, strict=True)])
        self._whole("processes", [row.rounds[-1].process + 1 if row.rounds else row.samples != [] for row in rows])
        self._whole("set", [row.set for row in rows])
        latencies = _latencies(samples)
        for place, column in zip((0, 3, 4), latencies_by_rounds(samples, [row.rounds for row in rows]), strict=True):
            np.copyto(latencies[place], column / 1e3, where=~np.isnan(column))
        for name, latency in zip(LATENCIES, latencies, strict=True):
            self._float(name, latency)
        for (_, name), amounts in zip(LEDGER, _entries([row.ledger for row in rows], _PARTS), strict=True):
            self._float(name, amounts)
        with np.errstate(invalid="ignore"):
            self._float("gb_per_s", self._floats["bytes_total"][-1] / latencies[0] / 1e3)
        for place, name in enumerate(("error_before", "error_after")):
            self._float(name, [row.checks[place].get("relative") if len(row.checks) > place else None for row in rows])
        for name, seconds in zip(OVERHEAD, _entries([row.overhead for row in rows], OVERHEAD), strict=True):
            self._float(f"overhead_{name}_s", seconds)
        if self._samples:
            self._lists += samples
            self._rounds += [row.rounds for row in rows]
        for number, row in enumerate(rows, start):
            if row.telemetry or len(row.overhead) > len(OVERHEAD):
                self._few(number, row)

    def _few(self, number: int, row: Row) -> None:
        """What only some rows have: readings of the device, overheads of later versions."""
        for name, seconds in row.overhead.items():
            if name not in OVERHEAD:
                self._rare.setdefault(f"overhead_{name}_s", _Rare()).put(number, seconds)
        for name, value in row.telemetry.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            self._rare.setdefault(f"gpu_{name}", _Rare()).put(number, shown)

    def _whole(self, name: str, values: Sequence[int]) -> None:
        self._wholes.setdefault(name, []).append(np.array(values, dtype=np.int64))

    def _float(self, name: str, values: Floats | Sequence[float | None]) -> None:
        self._floats.setdefault(name, []).append(np.array(values, dtype=np.float64))

    def _text(self, name: str, values: Sequence[str]) -> None:
        self._words.setdefault(name, _Words()).extend(values)


class _Words:
    """A column of texts that repeat."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._parts: list[npt.NDArray[np.intp]] = []

    def extend(self, words: Sequence[str]) -> None:
        numbers = self._numbers
        for word in dict.fromkeys(words):
            numbers.setdefault(word, len(numbers))
        self._parts.append(np.fromiter(map(numbers.__getitem__, words), dtype=np.intp, count=len(words)))

    def array(self) -> object:
        """As pandas keeps texts, whatever its version."""
        import pandas as pd

        if not self._numbers:
            return []
        return pd.Series([str(word) for word in self._numbers]).array.take(np.concatenate(self._parts))


class _Rare:
    """A column that only some rows have."""

    def __init__(self) -> None:
        self._found: dict[int, object] = {}

    def put(self, number: int, value: object) -> None:
        self._found[number] = value

    def values(self, count: int) -> list[object]:
        """A value or ``None`` for every row."""
        return [self._found.get(number) for number in range(count)]


def _turned(records: Iterable[tuple[T, ...]], width: int) -> Sequence[Sequence[T]]:
    """Columns of records."""
    return tuple(zip(*records, strict=True)) or ((),) * width


def _entries(tables: Sequence[Mapping[str, T]], names: tuple[str, ...]) -> Sequence[Sequence[T | None]]:
    """Columns of these names' values; ``None`` where a table has none."""
    try:
        return _turned(map(itemgetter(*names), tables), len(names))
    except KeyError:
        return _turned((tuple(table.get(name) for name in names) for table in tables), len(names))


def _latencies(samples: Sequence[Sequence[int | float]]) -> tuple[Floats, ...]:
    """Columns of :data:`LATENCIES` in microseconds; NaN for a row without samples."""
    sizes = np.fromiter(map(len, samples), dtype=np.intp, count=len(samples))
    flat = np.fromiter(chain.from_iterable(samples), dtype=np.float64, count=int(sizes.sum()))
    starts = np.cumsum(sizes) - sizes
    columns = tuple(np.full(len(samples), np.nan) for _ in LATENCIES)
    for size in np.unique(sizes):
        if size:
            rows = np.flatnonzero(sizes == size)
            ordered = np.sort(flat[starts[rows, None] + np.arange(size)], axis=1)
            rank = lower_rank(int(size))
            values = (*(_quantile(ordered, share) for share in (0.5, 0.05, 0.95)), ordered[:, rank])
            for column, value in zip(columns, (*values, ordered[:, size - 1 - rank]), strict=True):
                column[rows] = value / 1e3
    return columns


def _quantile(ordered: Floats, share: float) -> Floats:
    """Linear interpolation between order statistics, as numpy's default, of every row."""
    last = ordered.shape[1] - 1
    position = share * last
    below = int(position)
    low = ordered[:, below]
    result: Floats = low + (position - below) * (ordered[:, min(below + 1, last)] - low)
    return result
