"""Rows into columns: typed arrays, built a block of rows at a time; a million rows take seconds and little room.

Texts are few and repeated, so a column of them is a list of words and a number per row; latencies of all rows with
equally many samples are sorted at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import numpy as np

from mglubench.cases.axes import AXES
from mglubench.cases.vocabulary import SAME
from mglubench.measure.measurement import Round
from mglubench.results.row_block import AXIS_WORDS, PARTS, Block, entries
from mglubench.results.run_samples import SLICE, RunSamples, Slice
from mglubench.results.stored_row import StoredRow
from mglubench.results.turns import Floats, Patterns, Turns, Wholes
from mglubench.stats import lower_rank, runs_alike, whole_numbers

LATENCIES = ("latency_us", "latency_p5_us", "latency_p95_us", "latency_low_us", "latency_high_us")
# The columns that parts of a ledger become.
LEDGER = tuple(part if part == "flops" else f"bytes_{part}" for part in PARTS)
OVERHEAD = ("prepare", "sampling", "check", "isolation")
_TEXTS = ("status", "reason", "layer", "stop", "timer")
_NOTES = ("notes",)
_texts = attrgetter(*_TEXTS)
# The samples of some rows in turn, how many each has, and the rounds.
Waiting = tuple[Floats, Wholes, Turns]
_key, _overhead = map(attrgetter, ("key", "overhead"))


class Columns:
    """The columns of a frame while rows come in."""

    def __init__(self, samples: bool) -> None:
        self._samples = samples
        self._keys: list[str] = []
        self._words = {names: _Words() for names in (AXIS_WORDS, _TEXTS, _NOTES)}
        self._wholes: dict[str, list[Wholes]] = {}
        self._floats: dict[str, list[Floats]] = {}
        self._lists: list[Sequence[int | float]] = []
        self._rounds: list[Sequence[Round]] = []
        self._rare: dict[str, _Rare] = {}
        self._waiting: list[Waiting] = []
        self._slices: list[Slice] = []

    def read(self, blocks: Iterable[Block]) -> None:
        """Take in all rows; blocks are of one file."""
        # Lines are decoded by one thread, while the other sorts numbers; neither needs what the other holds.
        with ThreadPoolExecutor(1) as beside:
            found = []
            self._add(Block((), Patterns()))
            for block in blocks:
                if block:
                    self._add(block)
                if sum(len(sizes) for _, sizes, _ in self._waiting) >= SLICE:
                    found.append(beside.submit(_found, self._taken()))
            if self._waiting:
                found.append(beside.submit(_found, self._taken()))
            for part in found:
                self._add_latencies(*part.result())

    def run_samples(self) -> RunSamples:
        """The samples of all rows."""
        return RunSamples(self._slices)

    @property
    def keys(self) -> Sequence[str]:
        """Of all rows, in their order."""
        return self._keys

    def arrays(self) -> dict[str, object]:
        """Columns by name, in the documented order."""
        wholes = {name: np.concatenate(parts) for name, parts in self._wholes.items()}
        floats = {name: np.concatenate(parts) for name, parts in self._floats.items()}
        words = {name: column.array(place) for names, column in self._words.items() for place, name in enumerate(names)}
        found: dict[str, object] = {"key": self._keys, "status": words["status"], "reason": words["reason"]}
        found |= {name: wholes[name] if name in wholes else words[name] for name in (*AXES, "layer")}
        found |= {name: floats[name] for name in LATENCIES}
        found |= {name: wholes[name] for name in ("samples", "discarded", "rounds", "processes", "set")}
        found |= {"stop": words["stop"], "timer": words["timer"]}
        found |= {name: floats[name] for name in LEDGER}
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

    def _add(self, rows: Block) -> None:
        start = len(self._keys)
        self._keys += map(_key, rows)
        self._words[AXIS_WORDS].extend(rows.words, len(rows))
        self._words[_TEXTS].extend(map(_texts, rows), len(rows))
        self._words[_NOTES].extend((("; ".join(row.notes) if row.notes else "",) for row in rows), len(rows))
        self._add_figures(rows)
        self._waiting.append((rows.flat, rows.sizes, rows.turns))
        if self._samples:
            self._lists += (row.numbers() for row in rows)
            self._rounds += (row.turns() for row in rows)
        for number in _with_more(rows):
            self._few(start + number, rows[number])
        if any(case.weights != SAME for case in rows.kinds.values()):
            self._add_lost(start, rows)

    def _add_figures(self, rows: Block) -> None:
        """What rows say of axes, bytes, errors and seconds."""
        for name, column in rows.axes.items():
            self._whole(name, column)
        for name in ("discarded", "set"):
            self._whole(name, whole_numbers(map(attrgetter(name), rows), len(rows)))
        for name, amounts in zip(LEDGER, rows.ledgers, strict=True):
            self._float(name, amounts)
        for place, name in enumerate(("error_before", "error_after")):
            checks = [row.checks[place] if len(row.checks) > place else {} for row in rows]
            self._float(name, np.array([check.get("relative") for check in checks], dtype=np.float64))
        seconds = entries(list(map(_overhead, rows)), OVERHEAD)
        for name, amounts in zip(OVERHEAD, seconds, strict=True):
            self._float(f"overhead_{name}_s", amounts)

    def _taken(self) -> list[Waiting]:
        """The rows that wait for their latencies; none waits any more."""
        taken, self._waiting = self._waiting, []
        return taken

    def _add_latencies(self, part: Slice, latencies: Sequence[Floats]) -> None:
        """What the samples and rounds of some rows say."""
        self._slices.append(part)
        for name, latency in zip(LATENCIES, latencies, strict=True):
            self._float(name, latency)
        self._whole("samples", part.sizes)
        self._whole("rounds", part.known.rounds)
        self._whole("processes", part.turns.last_process + 1)

    def _add_lost(self, start: int, rows: Block) -> None:
        """What storing the weights in few bits has cost, of cases that do."""
        for number, row in enumerate(rows, start):
            if row.case.weights != SAME and row.checks:
                self._rare.setdefault("quantisation_error", _Rare()).put(number, row.checks[0].get("quantisation"))

    def _few(self, number: int, row: StoredRow) -> None:
        """What only some rows have: readings of the device, the fleet's worker, overheads of later versions."""
        for name, seconds in row.overhead.items():
            if name not in OVERHEAD:
                self._rare.setdefault(f"overhead_{name}_s", _Rare()).put(number, seconds)
        for name, value in row.telemetry.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            self._rare.setdefault(f"gpu_{name}", _Rare()).put(number, shown)
        for name, value in row.worker.items():
            self._rare.setdefault(f"worker_{name}", _Rare()).put(number, value)

    def _whole(self, name: str, values: Wholes) -> None:
        self._wholes.setdefault(name, []).append(values)

    def _float(self, name: str, values: Floats) -> None:
        self._floats.setdefault(name, []).append(values)


def _with_more(rows: Block) -> list[int]:
    """Numbers of the rows that have columns of their own."""
    return [n for n, row in enumerate(rows) if row.telemetry or row.worker or len(row.overhead) > len(OVERHEAD)]


class _Words:
    """Columns of texts that repeat, told of every row together."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        self._parts: list[Wholes] = []

    def extend(self, words: Iterable[tuple[str, ...]], count: int) -> None:
        self._parts.append(whole_numbers(map(self._numbers.__getitem__, words), count))

    def array(self, place: int) -> object:
        """One of the columns, as pandas keeps texts, whatever its version."""
        import pandas as pd

        if not self._numbers:
            return []
        return pd.Series([str(words[place]) for words in self._numbers]).array.take(np.concatenate(self._parts))


class _Numbers(dict[tuple[str, ...], int]):
    """Numbers words as they come."""

    def __missing__(self, words: tuple[str, ...]) -> int:
        self[words] = number = len(self)
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


def _found(waiting: Sequence[Waiting]) -> tuple[Slice, Sequence[Floats]]:
    """These rows as a slice, and their latencies; a row without rounds is one of one process."""
    flats, all_sizes, all_turns = zip(*waiting, strict=True)
    flat, sizes, turns = np.concatenate(flats), np.concatenate(all_sizes), Turns.joined(all_turns)
    part = Slice.of(flat, sizes, turns)
    latencies = _latencies(flat, sizes)
    told = part.in_rounds & (sizes > 0)
    middle, half = part.known.middle, part.known.half
    for place, column in zip((0, 3, 4), (middle, middle - half, middle + half), strict=True):
        np.copyto(latencies[place], np.exp(column) / 1e3, where=told)
    return part, latencies


def _latencies(flat: Floats, sizes: Wholes) -> tuple[Floats, ...]:
    """Columns of :data:`LATENCIES` in microseconds, from the samples of all rows in turn; NaN for a row of none."""
    columns = tuple(np.full(len(sizes), np.nan) for _ in LATENCIES)
    for rows, samples in runs_alike(flat, sizes):
        ordered, size = np.sort(samples, axis=1), samples.shape[1]
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
