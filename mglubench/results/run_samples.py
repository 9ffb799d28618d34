"""The samples of all rows of a run, some thousands of rows at a time, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from mglubench.estimates import Series, ratios
from mglubench.measure.measurement import Round
from mglubench.notices import heaps
from mglubench.results.known_rows import KnownRows
from mglubench.results.turns import Floats, Patterns, Turns, Wholes
from mglubench.spread import BoolArray, half_width
from mglubench.stats import medians, runs_alike, whole_numbers

# Rows that are looked at together: so many that what is done with their arrays takes no heed of other threads.
SLICE = 8192


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows.

    Attributes:
        flat: their samples in turn, in nanoseconds. sizes: how many each has. in_rounds: which know rounds. turns: the
            rounds; a row that knows none has one here. known: what they say. heaps: what
            :func:`mglubench.notices.heaps` says of each row.
    """

    flat: Floats
    sizes: Wholes
    in_rounds: BoolArray
    turns: Turns
    known: KnownRows
    heaps: Floats

    @classmethod
    def of(cls, flat: Floats, sizes: Wholes, turns: Turns) -> Slice:
        """Of rows with such samples and rounds.

        Raises:
            ValueError: rounds do not add up to the samples.
        """
        filled = turns.filled(sizes)
        if (filled.samples != sizes).any():
            raise ValueError("rounds do not add up to the samples of their row")
        found = np.full(len(sizes), np.nan)
        for rows, samples in runs_alike(flat, sizes):
            found[rows] = heaps(np.log(np.sort(samples, axis=-1)))
        return cls(flat, sizes, turns.per_row > 0, filled, KnownRows.of(flat, filled), found)


class RunSamples:
    """All rows of a run, in their order."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        self._slices = slices
        self._firsts = np.cumsum([0, *(len(part.sizes) for part in slices)])

    @cached_property
    def known(self) -> KnownRows:
        """What the samples say."""
        return KnownRows.joined([part.known for part in self._slices])

    @cached_property
    def sizes(self) -> Wholes:
        """How many samples each row has."""
        return np.concatenate([part.sizes for part in self._slices])

    @cached_property
    def in_rounds(self) -> BoolArray:
        """Which rows know rounds; the samples of the others are one."""
        return np.concatenate([part.in_rounds for part in self._slices])

    @classmethod
    def of_lists(cls, samples: Sequence[Sequence[float]], rounds: Sequence[Sequence[Round]]) -> RunSamples:
        """Of a frame's raw columns."""
        patterns = Patterns()
        slices = []
        for start in range(0, max(1, len(samples)), SLICE):
            own = samples[start : start + SLICE]
            sizes = whole_numbers(map(len, own), len(own))
            flat = np.fromiter(chain.from_iterable(own), dtype=np.float64, count=int(sizes.sum()))
            slices.append(Slice.of(flat, sizes, Turns.of_whole(rounds[start : start + SLICE], patterns)))
        return cls(slices)

    def heaps(self) -> Floats:
        """What :func:`mglubench.notices.heaps` says of each row."""
        return np.concatenate([part.heaps for part in self._slices])

    def ratios(self, base: Wholes, own: Wholes) -> tuple[Floats, Floats]:
        """Base over own, paired by round, and half the width of each interval, log; NaN where they share no round.

        A row over itself is exactly 1.

        Args:
            base, own: rows that have samples, as many of either.
        """
        values, halves = np.full(len(base), np.nan), np.full(len(base), np.nan)
        of_base, of_own = self.known.sign[base], self.known.sign[own]
        pairs = of_base * len(self.known.signs) + of_own
        for pair in np.unique(pairs).tolist():
            alike = np.flatnonzero(pairs == pair)
            signs = [self.known.signs[number] for number in divmod(pair, len(self.known.signs))]
            sides = base[alike], own[alike]
            if signs[0].numbers == signs[1].numbers:
                rounds = len(signs[0].numbers)
                over = self.known.round_medians(sides[0], rounds) - self.known.round_medians(sides[1], rounds)
                parts = [self.known.part(rows, sign) for rows, sign in zip(sides, signs, strict=True)]
                halves[alike], _ = half_width(over, parts, np.array(signs[0].processes))
                values[alike] = np.exp(medians(over))
            elif not set(signs[0].numbers).isdisjoint(signs[1].numbers):
                some = ratios([(self._series(one), self._series(other)) for one, other in zip(*sides, strict=True)])
                values[alike] = [ratio.value for ratio in some]
                halves[alike] = [ratio.half_width for ratio in some]
        values[base == own], halves[base == own] = 1.0, 0.0
        return values, halves

    def _series(self, row: int) -> Series:
        number = int(np.searchsorted(self._firsts, row, side="right")) - 1
        part = self._slices[number]
        return part.turns.series(row - int(self._firsts[number]), part.flat)
