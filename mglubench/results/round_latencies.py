"""Latencies of rows that know their rounds, by the rule of :mod:`mglubench.spread`, for many rows at once.

Rounds whose samples ran on the same copies in the same order have one *pattern*, which says where the samples of each
copy are; the intervals of rows with as many rounds and the same copies in them are computed together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from mglubench.results.stored_row import StoredRound, copies_in
from mglubench.spread import between_copies, half_width
from mglubench.stats import medians, medians_in_turn, whole_numbers

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

_count, _process, _copies = map(attrgetter, ("count", "process", "copies"))
_NONE = b"[]"


class Pattern:
    """The copies of a round's samples.

    Attributes:
        order: of the samples by copy. sizes: samples of each copy. names: number of each copy, ascending.
    """

    def __init__(self, copies: Sequence[int]) -> None:
        numbers = np.array(copies, dtype=np.int64)
        self.names, self.sizes = np.unique(numbers, return_counts=True)
        self.order = np.argsort(numbers, kind="stable")


class Turns:
    """The rounds of many rows as arrays.

    Attributes:
        per_row: rounds of each row. counts, processes: samples and process of each round. pattern: number of its
            pattern among ``patterns``, which may be shared with other rows.
    """

    def __init__(self) -> None:
        self.per_row, self.counts, self.processes, self.pattern = (np.zeros(0, np.int64) for _ in range(4))
        self.patterns = Patterns()

    @classmethod
    def of(cls, rounds: Sequence[Sequence[StoredRound]], patterns: Patterns) -> Turns:
        """The rounds of these rows."""
        made = cls()
        made.patterns = patterns
        turns = list(chain.from_iterable(rounds))
        made.per_row = whole_numbers(map(len, rounds), len(rounds))
        made.counts = whole_numbers(map(_count, turns), len(turns))
        made.processes = whole_numbers(map(_process, turns), len(turns))
        # A round whose samples all ran on one copy says how many they are alone.
        words: list[bytes | int] = list(map(bytes, map(_copies, turns)))
        if _NONE in words:
            words = [turn.count if word == _NONE else word for word, turn in zip(words, turns, strict=True)]
        made.pattern = whole_numbers(map(patterns.__getitem__, words), len(turns))
        return made

    @classmethod
    def joined(cls, parts: Sequence[Turns]) -> Turns:
        """All of these, one after the other; their patterns are the same."""
        made = cls()
        if parts:
            made.patterns = parts[-1].patterns
            made.per_row = np.concatenate([part.per_row for part in parts])
            made.counts = np.concatenate([part.counts for part in parts])
            made.processes = np.concatenate([part.processes for part in parts])
            made.pattern = np.concatenate([part.pattern for part in parts])
        return made

    @property
    def sound(self) -> bool:
        """Whether every round says of each of its samples which copy it ran on."""
        lengths = np.array([len(pattern.order) for pattern in self.patterns.found], dtype=np.int64)
        return bool((lengths[self.pattern] == self.counts).all())

    @property
    def samples(self) -> Wholes:
        """Samples of each row's rounds."""
        ends = np.concatenate([[0], np.cumsum(self.counts)])[np.cumsum(self.per_row)]
        return np.diff(ends, prepend=0)

    @property
    def kept(self) -> Wholes:
        """How many rounds of each row have samples."""
        row = np.repeat(np.arange(len(self.per_row)), self.per_row)
        return np.bincount(row[self.counts > 0], minlength=len(self.per_row))

    @property
    def last_process(self) -> Wholes:
        """The process of each row's last round; -1 for a row without rounds."""
        if not len(self.processes):
            return np.full(len(self.per_row), -1)
        ends = np.cumsum(self.per_row)
        return np.where(self.per_row > 0, self.processes[np.maximum(ends - 1, 0)], -1)


class Patterns(dict[bytes | int, int]):
    """Numbers patterns as they come, each by its copies as they are written or, where all are one, by its samples."""

    def __init__(self) -> None:
        self.found: list[Pattern] = []

    def __missing__(self, word: bytes | int) -> int:
        pattern = Pattern((0,) * word if isinstance(word, int) else copies_in(word))
        self[word] = number = len(self)
        self.found.append(pattern)
        return number


def latencies_by_rounds(samples: Floats, turns: Turns) -> tuple[Floats, Floats, Floats]:
    """The latency of each row and the ends of its 95 % interval, in the samples' unit.

    A row without samples has NaN. Too few rounds give an interval from 0 to infinity.

    Args:
        samples: of all rows with rounds, in turn. turns: of all rows; samples are as many as they say.
    """
    latency, low, high = (np.full(len(turns.per_row), np.nan) for _ in range(3))
    if not len(samples):
        return latency, low, high
    for rows, round_medians, cells, processes in _Flat(samples, turns).alike():
        middle = medians(round_medians)
        half, _ = half_width(round_medians, [between_copies(round_medians, cells)], processes)
        latency[rows], low[rows], high[rows] = np.exp(middle), np.exp(middle - half), np.exp(middle + half)
    return latency, low, high


class _Flat:
    """Samples of many rows as one array of logarithms, and the medians of all rounds and of all copies within them."""

    def __init__(self, samples: Floats, turns: Turns) -> None:
        there = np.flatnonzero(turns.counts)
        counts, of_turn = turns.counts[there], turns.pattern[there]
        self._rounds = turns.kept
        self._processes = turns.processes[there]
        self._patterns = turns.patterns.found
        logs = np.log(samples)
        self._medians = medians_in_turn(logs, counts)
        order = _in_turn([pattern.order for pattern in self._patterns], of_turn)
        order += np.repeat(np.cumsum(counts) - counts, counts)
        sizes = [pattern.sizes for pattern in self._patterns]
        widths = whole_numbers(map(len, sizes), len(sizes))[of_turn]
        self._cells = medians_in_turn(logs[order], _in_turn(sizes, of_turn))
        self._firsts = np.cumsum(widths) - widths
        self._names = self._numbered_names()[of_turn]

    def _numbered_names(self) -> Wholes:
        """One number for all patterns with the same copies; it is that of the first such pattern."""
        first: dict[bytes, int] = {}
        found = [first.setdefault(pattern.names.tobytes(), number) for number, pattern in enumerate(self._patterns)]
        return np.array(found, dtype=np.int64)

    def alike(self) -> Iterable[tuple[Wholes, Floats, Floats, Wholes]]:
        """Rows whose rounds hold the same copies: their numbers, [rows, R] round medians, [rows, R, C] cells, and the
        processes of the rounds.
        """
        starts = np.cumsum(self._rounds) - self._rounds
        signs = np.stack([self._names, self._processes], axis=1)
        for turns in np.unique(self._rounds[self._rounds > 0]).tolist():
            rows = np.flatnonzero(self._rounds == turns)
            places = starts[rows, None] + np.arange(turns)
            of_rows = signs[places]
            if (of_rows == of_rows[0]).all():
                yield rows, *self._together(places)
                continue
            found: dict[bytes, list[int]] = {}
            for number, sign in enumerate(of_rows):
                found.setdefault(sign.tobytes(), []).append(number)
            for numbers in found.values():
                yield rows[numbers], *self._together(places[numbers])

    def _together(self, places: Wholes) -> tuple[Floats, Floats, Wholes]:
        """The medians of alike rounds; the same copy of another process is another draw of addresses."""
        processes = self._processes[places[0]]
        names = [self._patterns[number].names for number in self._names[places[0]].tolist()]
        of_turn = [[(process, name) for name in turn.tolist()] for process, turn in zip(processes, names, strict=True)]
        columns = {copy: column for column, copy in enumerate(sorted({copy for turn in of_turn for copy in turn}))}
        cells = np.full((*places.shape, len(columns)), np.nan)
        for number, turn in enumerate(of_turn):
            where = self._firsts[places[:, number], None] + np.arange(len(turn))
            cells[:, number, [columns[copy] for copy in turn]] = self._cells[where]
        return self._medians[places], cells, processes


def _in_turn(parts: Sequence[Wholes], numbers: Wholes) -> Wholes:
    """These of the parts, one after the other."""
    first = int(numbers[0])
    if (numbers == first).all():
        return np.tile(parts[first], len(numbers))
    lengths = whole_numbers(map(len, parts), len(parts))
    wanted = lengths[numbers]
    shift = (np.cumsum(lengths) - lengths)[numbers] - (np.cumsum(wanted) - wanted)
    places: Wholes = np.arange(wanted.sum()) + np.repeat(shift, wanted)
    return np.concatenate(parts)[places]
