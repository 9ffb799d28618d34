"""The rounds of many rows as arrays.

Rounds whose samples ran on the same copies in the same order have one *pattern*, which says where the samples of each
copy are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec
import numpy as np
import numpy.typing as npt

from mglubench.estimates import Series
from mglubench.measure.measurement import Round, copy_number
from mglubench.results.stored_row import round_in
from mglubench.stats import whole_numbers

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]
# What is known of each round.
_FACTS = ("numbers", "counts", "processes", "pattern")
Facts = tuple[int, int, int, int]
# The copies of a round, or how many samples it has where all are of one.
Word = tuple[int, ...] | int
# Texts of rounds that are remembered. More are written anew than read again.
_TOLD = 1 << 16


class Pattern:
    """The copies of a round's samples.

    Attributes:
        copies: of the samples. order: of the samples by copy. sizes: samples of each copy. names: number of each copy,
            ascending.
    """

    def __init__(self, copies: Sequence[int]) -> None:
        self.copies = np.array(copies, dtype=np.int64)
        self.names, self.sizes = np.unique(self.copies, return_counts=True)
        self.order = np.argsort(self.copies, kind="stable")


class Patterns(dict[Word, int]):
    """Numbers patterns as they come.

    Attributes:
        found: by number. told: what rounds say.
    """

    def __init__(self) -> None:
        self.found: list[Pattern] = []
        self.told = _Told(self)

    def __missing__(self, word: Word) -> int:
        self[word] = number = len(self)
        self.found.append(Pattern((0,) * word if isinstance(word, int) else word))
        return number

    def facts(self, turn: Round) -> Facts:
        """By :data:`_FACTS`."""
        return turn.number, turn.count, turn.process, self[turn.copies or turn.count]


class _Told(dict[bytes, Facts]):
    """What a round says, by its text: rounds of a run differ in little."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns

    def __missing__(self, text: bytes) -> Facts:
        if len(self) >= _TOLD:
            self.clear()
        self[text] = facts = self._patterns.facts(round_in(text))
        return facts


class Turns:
    """The rounds of many rows as arrays.

    Attributes:
        per_row: rounds of each row. numbers, counts, processes: of each round; counts are its samples. pattern: number
            of its pattern among ``patterns``, which may be shared with other rows.
    """

    def __init__(self, patterns: Patterns | None = None) -> None:
        self.per_row, self.numbers, self.counts, self.processes, self.pattern = (
            np.zeros(0, np.int64) for _ in range(5)
        )
        self.patterns = Patterns() if patterns is None else patterns

    @classmethod
    def of(cls, rounds: Sequence[Sequence[msgspec.Raw]], patterns: Patterns) -> Turns:
        """The rounds of these rows, as they are written.

        Raises:
            ValueError: one is none.
        """
        texts = map(bytes, chain.from_iterable(rounds))
        return cls._of(rounds, map(patterns.told.__getitem__, texts), patterns)

    @classmethod
    def of_whole(cls, rounds: Sequence[Sequence[Round]], patterns: Patterns) -> Turns:
        """The same of rounds that a frame holds."""
        return cls._of(rounds, map(patterns.facts, chain.from_iterable(rounds)), patterns)

    @classmethod
    def _of(cls, rounds: Sequence[Sequence[object]], facts: Iterable[Facts], patterns: Patterns) -> Turns:
        made = cls(patterns)
        made.per_row = whole_numbers(map(len, rounds), len(rounds))
        count = len(_FACTS) * int(made.per_row.sum())
        table = whole_numbers(chain.from_iterable(facts), count).reshape(-1, len(_FACTS))
        for name, column in zip(_FACTS, table.T, strict=True):
            setattr(made, name, np.ascontiguousarray(column))
        return made

    @classmethod
    def joined(cls, parts: Sequence[Turns]) -> Turns:
        """All of these, one after the other; their patterns are the same."""
        made = cls(parts[-1].patterns if parts else None)
        if parts:
            for name in ("per_row", *_FACTS):
                setattr(made, name, np.concatenate([getattr(part, name) for part in parts]))
        return made

    def filled(self, sizes: Wholes) -> Turns:
        """With a round of one process and one copy for each row that has samples and knows no rounds (schema 1)."""
        lacking = (self.per_row == 0) & (sizes > 0)
        if not lacking.any():
            return self
        made = Turns(self.patterns)
        made.per_row = self.per_row + lacking
        at, counts = np.cumsum(self.per_row)[lacking], sizes[lacking]
        made.numbers, made.processes = np.insert(self.numbers, at, 0), np.insert(self.processes, at, 0)
        made.counts = np.insert(self.counts, at, counts)
        pattern = whole_numbers(map(self.patterns.__getitem__, counts.tolist()), len(counts))
        made.pattern = np.insert(self.pattern, at, pattern)
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

    @property
    def odd(self) -> Wholes:
        """Rows whose rounds are not in the order of their numbers, or of which two have one number."""
        there = self.counts > 0
        row = np.repeat(np.arange(len(self.per_row)), self.per_row)[there]
        numbers = self.numbers[there]
        back = (row[1:] == row[:-1]) & (numbers[1:] <= numbers[:-1])
        return np.unique(row[1:][back])

    def series(self, row: int, samples: Floats) -> Series:
        """One row's samples with their rounds, copies and processes; ``samples`` are those of all rows in turn."""
        of_rows = self.samples[: row + 1]
        samples = samples[of_rows[:-1].sum() : of_rows.sum()]
        end = int(self.per_row[: row + 1].sum())
        own = slice(end - int(self.per_row[row]), end)
        counts, processes = self.counts[own], self.processes[own]
        copies = [
            copy_number(process, 0) + self.patterns.found[pattern].copies
            for process, pattern in zip(processes.tolist(), self.pattern[own].tolist(), strict=True)
        ]
        numbers = np.repeat(self.numbers[own], counts)
        return Series(samples, numbers, np.concatenate(copies), np.repeat(processes, counts))


def in_turn(parts: Sequence[Wholes], numbers: Wholes) -> Wholes:
    """These of the parts, one after the other."""
    first = int(numbers[0])
    if (numbers == first).all():
        return np.tile(parts[first], len(numbers))
    lengths = whole_numbers(map(len, parts), len(parts))
    wanted = lengths[numbers]
    shift = (np.cumsum(lengths) - lengths)[numbers] - (np.cumsum(wanted) - wanted)
    places: Wholes = np.arange(wanted.sum()) + np.repeat(shift, wanted)
    return np.concatenate(parts)[places]
