"""Latencies and ratios with what is known of them, from samples that say their round and their copy.

    latency(series)          the median over rounds of the rounds' medians
    ratio(base, own)         how many times as long base takes: the median over rounds of the ratio of their medians,
                             in the rounds that both have

Intervals follow the rule in :mod:`~mglubench.spread`. They are symmetric on the logarithmic scale, so the interval of
base over own is the reciprocal of that of own over base. A run that knows no rounds (schema 1) is one round, and its
intervals are infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mglubench.spread import (
    LEAST_ROUNDS,
    FloatArray,
    IntArray,
    Part,
    between_copies,
    half_width,
    median_variance,
    parts_of_variance,
)
from mglubench.stats import medians_in_turn


@dataclass(frozen=True)
class Series:
    """The samples of one case.

    Attributes:
        samples: latencies above 0, any unit. rounds, copies: number of the round and of the copy of each sample;
            copies of different processes are different copies and have different numbers.
        processes: number of the process of each sample; a round is taken by one process.
    """

    samples: FloatArray
    rounds: IntArray
    copies: IntArray
    processes: IntArray

    @classmethod
    def of(
        cls,
        samples: Sequence[float] | FloatArray,
        rounds: Sequence[int] = (),
        copies: Sequence[int] = (),
        processes: Sequence[int] = (),
    ) -> Series:
        """From plain numbers; what is left out is one for all samples: one round, one copy, one process.

        Raises:
            ValueError: rounds, copies or processes are given and are not as many as the samples.
        """
        values = np.asarray(samples, dtype=np.float64)
        given = (rounds, copies, processes)
        numbers = [np.asarray(part if len(part) else np.zeros(len(values)), dtype=np.int64) for part in given]
        if any(len(part) != len(values) for part in numbers):
            rest = ", ".join(
                f"{len(n)} {what}" for n, what in zip(numbers, ("rounds", "copies", "processes"), strict=True)
            )
            raise ValueError(f"{len(values)} samples, {rest}")
        return cls(values, *numbers)

    @cached_property
    def logs(self) -> FloatArray:
        """Logarithms of the samples; a sample of 0 becomes the smallest number there is."""
        return np.log(np.maximum(self.samples, np.finfo(np.float64).tiny))

    @cached_property
    def round_numbers(self) -> IntArray:
        """The rounds that have samples, ascending."""
        return np.unique(self.rounds)

    @cached_property
    def round_medians(self) -> FloatArray:
        """Logarithms of the rounds' medians, by :attr:`round_numbers`."""
        return group_medians(self.logs, np.searchsorted(self.round_numbers, self.rounds), len(self.round_numbers))

    @cached_property
    def copy_count(self) -> int:
        """Copies that have samples."""
        return len(np.unique(self.copies))

    def only(self, rounds: IntArray) -> Series:
        """The samples of some rounds."""
        if len(rounds) == len(self.round_numbers):
            return self
        kept = np.isin(self.rounds, rounds)
        return Series(self.samples[kept], self.rounds[kept], self.copies[kept], self.processes[kept])

    @cached_property
    def round_processes(self) -> IntArray:
        """The process of each round, by :attr:`round_numbers`."""
        _, first = np.unique(self.rounds, return_index=True)
        found: IntArray = self.processes[first]
        return found

    @cached_property
    def between_copies(self) -> Part:
        """What the copies add to the variance of the location."""
        names, column = np.unique(self.copies, return_inverse=True)
        row = np.searchsorted(self.round_numbers, self.rounds)
        shape = len(self.round_numbers), len(names)
        cells = group_medians(self.logs, row * shape[1] + column, shape[0] * shape[1]).reshape(shape)
        return between_copies(self.round_medians, cells)

    @cached_property
    def within(self) -> float:
        """Standard deviation of the samples about their round's median, log, by absolute deviations (robust)."""
        row = np.searchsorted(self.round_numbers, self.rounds)
        deviations = np.abs(self.logs - self.round_medians[row])
        spare = max(1, len(self.logs) - len(self.round_numbers))
        return 1.4826 * float(np.median(deviations)) * math.sqrt(len(self.logs) / spare) if len(self.logs) else 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A latency or a ratio, and what is known of it.

    Attributes:
        value: in the unit of the samples, or a plain number. half_width: of the 95 % interval on the logarithmic
            scale; infinite for fewer than three rounds.
        rounds: that it rests on. copies: the fewest that a side rests on; 1 says that the interval holds for the
            addresses of one preparation.
        effective: how many independent samples would give as good a median; below the number of samples where rounds
            or copies differ.
    """

    value: float
    half_width: float
    rounds: int
    copies: int
    effective: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval; 0 if nothing is known."""
        return self.value * math.exp(-self.half_width)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval; infinite if nothing is known."""
        return self.value * math.exp(self.half_width) if math.isfinite(self.half_width) else math.inf

    @property
    def relative(self) -> float:
        """Half the width of the interval over the value: what ``--target-noise`` is held against and tables show."""
        return math.sinh(self.half_width) if self.half_width < 700 else math.inf

    def inverse(self) -> Estimate:
        """Own over base for base over own; a value of 0 has none and stays."""
        value = 1 / self.value if self.value else 0.0
        return Estimate(value, self.half_width, self.rounds, self.copies, self.effective)


def latency(series: Series) -> Estimate:
    """The latency of a case. Raises ValueError without samples."""
    if not len(series.samples):
        raise ValueError("no samples")
    return _estimate(series.round_medians, [series])


def ratio(base: Series, own: Series) -> Estimate:
    """Base over own, paired by round: the speed-up of own. Raises ValueError if they have no round in common.

    A case over itself is exactly 1.
    """
    if base is own:
        return Estimate(1.0, 0.0, len(own.round_numbers), own.copy_count, float(len(own.samples)))
    shared = np.intersect1d(base.round_numbers, own.round_numbers)
    if not len(shared):
        raise ValueError("no round in common")
    sides = [base.only(shared), own.only(shared)]
    return _estimate(sides[0].round_medians - sides[1].round_medians, sides)


def variance_shares(base: Series, own: Series) -> dict[str, float]:
    """Which shares of a ratio's variance are between ``rounds``, ``copies`` and ``processes``; empty if unknown."""
    shared = np.intersect1d(base.round_numbers, own.round_numbers)
    if len(shared) < LEAST_ROUNDS:
        return {}
    sides = [base.only(shared), own.only(shared)]
    rounds = sides[0].round_medians - sides[1].round_medians
    parts = parts_of_variance(rounds, [side.between_copies for side in sides], sides[0].round_processes)
    of_rounds, (*copies, processes) = parts
    found = {
        "rounds": float(of_rounds),
        "copies": float(sum(part.variance for part in copies)),
        "processes": float(processes.variance),
    }
    whole = sum(found.values())
    return {name: part / whole for name, part in found.items()} if whole else {}


def group_medians(values: FloatArray, groups: IntArray, count: int) -> FloatArray:
    """The median of each group of values, by group number 0 to ``count`` - 1; NaN for a group without values."""
    if len(groups) and (groups[1:] < groups[:-1]).any():
        values = values[np.argsort(groups, kind="stable")]
    return medians_in_turn(values, np.bincount(groups, minlength=count))


def _estimate(rounds: FloatArray, sides: Sequence[Series]) -> Estimate:
    half, variance = half_width(rounds, [side.between_copies for side in sides], sides[0].round_processes)
    noise = sum(side.within**2 for side in sides)
    fewest = min(len(side.samples) for side in sides)
    effective = float(fewest)
    if not np.isfinite(variance):
        effective = 1.0
    elif variance > 0:
        effective = min(effective, max(1.0, float(median_variance(fewest) * noise / variance)))
    copies = min(side.copy_count for side in sides)
    return Estimate(math.exp(float(np.median(rounds))), float(half), len(rounds), copies, effective)
