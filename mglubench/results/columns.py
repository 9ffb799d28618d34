"""Rows into columns: typed arrays, built a block of rows at a time; a million rows take seconds and little room.

Texts are few and repeated, so a column of them is a list of words and a number per row; latencies of all rows with
equally many samples are sorted at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, itemgetter

import numpy as np
import numpy.typing as npt

from mglubench.cases.axes import AXES
from mglubench.cases.vocabulary import SAME
from mglubench.measure.measurement import Round
from mglubench.results.round_latencies import Patterns, Turns, latencies_by_rounds
from mglubench.results.rows import Row
from mglubench.stats import lower_rank

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

LATENCIES = ("latency_us", "latency_p5_us", "latency_p95_us", "latency_low_us", "latency_high_us")
# Parts of a ledger and the columns that they become.
LEDGER = (
    *((part, f"bytes_{part}") for part in ("weights", "masks", "x", "y", "scratch", "total")),
    ("flops", "flops"),
)
OVERHEAD = ("prepare", "sampling", "check", "isolation")
# Rows whose latencies are found together.
SLICE = 8192
_PARTS = tuple(part for part, _ in LEDGER)
_TEXTS = ("status", "reason", "layer", "stop", "timer")
_WHOLE_AXES = tuple(name for name, axis in AXES.items() if isinstance(axis.walked[0], int))
_case, _samples, _rounds = map(attrgetter, ("case", "samples", "rounds"))


class Columns:
    """The columns of a frame while rows come in."""

    def __init__(self, samples: bool) -> None:
        self._samples = samples
        self._keys: list[str] = []
        self._words: dict[str, _Words] = {}
        self._wholes: dict[str, list[npt.NDArray[np.int64]]] = {}
        self._floats: dict[str, list[Floats]] = {}
        self._lists: list[Sequence[int | float]] = []
        self._rounds: list[Sequence[Round]] = []
        self._rare: dict[str, _Rare] = {}
        self._patterns = Patterns()
        self._waiting: list[_Samples] = []

    def read(self, blocks: Iterable[Sequence[Row]]) -> None:
        """Take in all rows."""
        self._add([])
        for rows in blocks:
            self._add(rows)
            if sum(len(part.sizes) for part in self._waiting) >= SLICE:
                self._add_latencies()
        self._add_latencies()

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
        found |= {name: floats[name] for _, name in LEDGER}
        with np.errstate(invalid="ignore"):
            found["gb_per_s"] = floats["bytes_total"] / floats["latency_us"] / 1e3
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
        self._add_words(rows)
        self._add_figures(rows)
        self._waiting.append(_Samples.of(rows, self._patterns))
        if self._samples:
            self._lists += map(_samples, rows)
            self._rounds += map(_rounds, rows)
        for number in [n for n, row in enumerate(rows) if row.telemetry or len(row.overhead) > len(OVERHEAD)]:
            self._few(start + number, rows[number])
        for number in [n for n, row in enumerate(rows) if row.case.weights != SAME and row.checks]:
            lost = rows[number].checks[0].get("quantisation")
            self._rare.setdefault("quantisation_error", _Rare()).put(start + number, lost)

    def _add_words(self, rows: Sequence[Row]) -> None:
        """Axes and texts."""
        cases = list(map(_case, rows))
        for name in AXES:
            values = map(attrgetter(name), cases)
            if name in _WHOLE_AXES:
                self._whole(name, np.fromiter(values, dtype=np.int64, count=len(rows)))
            else:
                self._text(name, values, len(rows))
        for name in _TEXTS:
            self._text(name, map(attrgetter(name), rows), len(rows))
        self._text("notes", ("; ".join(row.notes) if row.notes else "" for row in rows), len(rows))

    def _add_figures(self, rows: Sequence[Row]) -> None:
        """What rows say of bytes, errors and seconds."""
        for name in ("discarded", "set"):
            self._whole(name, np.fromiter(map(attrgetter(name), rows), dtype=np.int64, count=len(rows)))
        ledgers = _entries([row.ledger for row in rows], _PARTS)
        for (_, name), amounts in zip(LEDGER, ledgers, strict=True):
            self._float(name, amounts)
        for place, name in enumerate(("error_before", "error_after")):
            errors = [row.checks[place].get("relative") if len(row.checks) > place else None for row in rows]
            self._float(name, np.array(errors, dtype=np.float64))
        seconds = _entries([row.overhead for row in rows], OVERHEAD)
        for name, amounts in zip(OVERHEAD, seconds, strict=True):
            self._float(f"overhead_{name}_s", amounts)

    def _add_latencies(self) -> None:
        """What the samples and rounds of the rows that wait for it say; a row without rounds is one of one process."""
        flat = np.concatenate([part.flat for part in self._waiting])
        sizes = np.concatenate([part.sizes for part in self._waiting])
        turns = Turns.joined([part.turns for part in self._waiting])
        self._waiting = [_Samples.of([], self._patterns)]
        latencies = _latencies(flat, sizes)
        in_rounds = turns.per_row > 0
        by_rounds = latencies_by_rounds(flat if in_rounds.all() else flat[np.repeat(in_rounds, sizes)], turns)
        for place, column in zip((0, 3, 4), by_rounds, strict=True):
            np.copyto(latencies[place], column / 1e3, where=~np.isnan(column))
        for name, latency in zip(LATENCIES, latencies, strict=True):
            self._float(name, latency)
        alone = (sizes > 0).astype(np.int64)
        self._whole("samples", sizes)
        self._whole("rounds", np.where(turns.kept, turns.kept, alone))
        self._whole("processes", np.where(in_rounds, turns.last_process + 1, alone))

    def _few(self, number: int, row: Row) -> None:
        """What only some rows have: readings of the device, overheads of later versions."""
        for name, seconds in row.overhead.items():
            if name not in OVERHEAD:
                self._rare.setdefault(f"overhead_{name}_s", _Rare()).put(number, seconds)
        for name, value in row.telemetry.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            self._rare.setdefault(f"gpu_{name}", _Rare()).put(number, shown)

    def _whole(self, name: str, values: Wholes) -> None:
        self._wholes.setdefault(name, []).append(values)

    def _float(self, name: str, values: Floats) -> None:
        self._floats.setdefault(name, []).append(values)

    def _text(self, name: str, values: Iterable[str], count: int) -> None:
        self._words.setdefault(name, _Words()).extend(values, count)


@dataclass(frozen=True, slots=True)
class _Samples:
    """The samples of some rows in turn, how many each row has, and their rounds."""

    flat: Floats
    sizes: Wholes
    turns: Turns

    @classmethod
    def of(cls, rows: Sequence[Row], patterns: Patterns) -> _Samples:
        samples = list(map(_samples, rows))
        sizes = np.fromiter(map(len, samples), dtype=np.int64, count=len(rows))
        flat = np.fromiter(chain.from_iterable(samples), dtype=np.float64, count=int(sizes.sum()))
        return cls(flat, sizes, Turns.of(list(map(_rounds, rows)), patterns))


class _Words:
    """A column of texts that repeat."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        self._parts: list[npt.NDArray[np.intp]] = []

    def extend(self, words: Iterable[str], count: int) -> None:
        self._parts.append(np.fromiter(map(self._numbers.__getitem__, words), dtype=np.intp, count=count))

    def array(self) -> object:
        """As pandas keeps texts, whatever its version."""
        import pandas as pd

        if not self._numbers:
            return []
        return pd.Series([str(word) for word in self._numbers]).array.take(np.concatenate(self._parts))


class _Numbers(dict[str, int]):
    """Numbers words as they come."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class _Rare:
    """A column that only some rows have."""

    def __init__(self) -> None:
        self._found: dict[int, object] = {}

    def put(self, number: int, value: object) -> None:
        self._found[number] = value

    def values(self, count: int) -> list[object]:
        """A value or ``None`` for every row."""
        return [self._found.get(number) for number in range(count)]


def _entries(tables: Sequence[Mapping[str, int | float]], names: tuple[str, ...]) -> Floats:
    """These names' values, [names, rows]; NaN where a table has none."""
    try:
        found = map(itemgetter(*names), tables)
        flat = np.fromiter(chain.from_iterable(found), dtype=np.float64, count=len(names) * len(tables))
    except KeyError:
        flat = np.array([table.get(name, np.nan) for table in tables for name in names], dtype=np.float64)
    return np.ascontiguousarray(flat.reshape(-1, len(names)).T)


def _latencies(flat: Floats, sizes: Wholes) -> tuple[Floats, ...]:
    """Columns of :data:`LATENCIES` in microseconds, from the samples of all rows in turn; NaN for a row of none."""
    starts = np.cumsum(sizes) - sizes
    columns = tuple(np.full(len(sizes), np.nan) for _ in LATENCIES)
    for size in np.unique(sizes[sizes > 0]).tolist():
        rows = np.flatnonzero(sizes == size)
        ordered = np.sort(flat[starts[rows, None] + np.arange(size)], axis=1)
        rank = lower_rank(size)
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
