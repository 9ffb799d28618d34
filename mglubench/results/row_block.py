"""Rows that were read together, and what arrays say of all of them: columns are made of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter, itemgetter

import numpy as np

from mglubench.cases.axes import AXES
from mglubench.cases.case import Case
from mglubench.results.rows import LEAST_NS, MOST_NS, Status
from mglubench.results.stored_row import StoredRow, samples_of
from mglubench.results.turns import Floats, Patterns, Turns, Wholes
from mglubench.stats import whole_numbers

# Parts of a ledger in the order of their columns.
PARTS = ("weights", "masks", "x", "y", "scratch", "total", "flops")
WHOLE_AXES = tuple(name for name, axis in AXES.items() if isinstance(axis.walked[0], int))
_case, _rounds, _ledger = map(attrgetter, ("case", "rounds", "ledger"))
_sizes = attrgetter(*WHOLE_AXES)
AXIS_WORDS = tuple(name for name in AXES if name not in WHOLE_AXES)
axis_words: Callable[[Case], tuple[str, ...]] = attrgetter(*AXIS_WORDS)


class Block(list[StoredRow]):
    """Rows of a file.

    Args:
        patterns: of the copies of rounds, which blocks of a file share.
    """

    def __init__(self, rows: Iterable[StoredRow], patterns: Patterns) -> None:
        super().__init__(rows)
        self.patterns = patterns

    @property
    def sizes(self) -> Wholes:
        """How many samples each row has."""
        return self._samples[1]

    @property
    def flat(self) -> Floats:
        """The samples of all rows in turn."""
        return self._samples[0]

    @cached_property
    def _samples(self) -> tuple[Floats, Wholes]:
        of_rows = samples_of(self)
        sizes = whole_numbers(map(len, of_rows), len(self))
        return np.fromiter(chain.from_iterable(of_rows), dtype=np.float64, count=int(sizes.sum())), sizes

    @cached_property
    def turns(self) -> Turns:
        """The rounds of all rows in turn."""
        return Turns.of(list(map(_rounds, self)), self.patterns)

    @cached_property
    def axes(self) -> Mapping[str, Wholes]:
        """Whole numbers of the cases, by axis."""
        found = chain.from_iterable(map(_sizes, map(_case, self)))
        table = whole_numbers(found, len(self) * len(WHOLE_AXES)).reshape(-1, len(WHOLE_AXES))
        return dict(zip(WHOLE_AXES, table.T, strict=True))

    @cached_property
    def words(self) -> list[tuple[str, ...]]:
        """The words of each case, by :data:`AXIS_WORDS`."""
        return list(map(axis_words, map(_case, self)))

    @cached_property
    def kinds(self) -> Mapping[tuple[str, ...], Case]:
        """A case of each set of words on the axes."""
        return dict(zip(self.words, map(_case, self), strict=True))

    @cached_property
    def ledgers(self) -> Floats:
        """Declared bytes and FLOPs, [parts, rows]; NaN where a row does not say."""
        return entries(list(map(_ledger, self)), PARTS)

    def sound(self) -> bool:
        """Whether none of its rows is damaged; what is said of a single one is :meth:`Row.why_damaged`'s."""
        turns = self.turns
        if not self or not turns.sound:
            return not self
        samples, in_rounds = self.flat, turns.per_row > 0
        if len(samples) and not (samples.min() >= LEAST_NS and samples.max() <= MOST_NS):
            return False
        if (turns.samples != self.sizes)[in_rounds].any():
            return False
        if any(self[number].status == Status.OK for number in np.flatnonzero(self.sizes == 0)):
            return False
        total = self.ledgers[PARTS.index("total")]
        if any(self[number].ledger for number in np.flatnonzero(~(total > 0))):
            return False
        # The sizes of all its cases are between those of two.
        ends = [{name: int(end(column)) for name, column in self.axes.items()} for end in (np.min, np.max)]
        cases = [Case.from_dict({**self[0].case.to_dict(), **end}) for end in ends]
        return not any(case.why_impossible() for case in (*cases, *self.kinds.values()))


def entries(tables: Sequence[Mapping[str, int | float]], names: tuple[str, ...]) -> Floats:
    """These names' values, [names, rows]; NaN where a table has none."""
    try:
        found = map(itemgetter(*names), tables)
        flat = np.fromiter(chain.from_iterable(found), dtype=np.float64, count=len(names) * len(tables))
    except KeyError:
        flat = np.array([table.get(name, np.nan) for table in tables for name in names], dtype=np.float64)
    return np.ascontiguousarray(flat.reshape(-1, len(names)).T)
