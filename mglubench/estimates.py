"""Latencies and ratios with what is known of them, from samples that say their round and their copy.

    latency(series)          the median over rounds of the rounds' medians
    ratio(base, own)         how many times as long base takes: the median over rounds of the ratio of their medians,
                             in the rounds that both have

``latencies`` and ``ratios`` are the same for many at once: a comparison set's series are of the same rounds and copies,
and arrays of them take little longer than one.

Intervals follow the rule in :mod:`~mglubench.spread`. They are symmetric on the logarithmic scale, so the interval of
base over own is the reciprocal of that of own over base. A run that knows no rounds (schema 1) is one round, and its
intervals are infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from mglubench.spread import (
    LEAST_ROUNDS,
    MAD_TO_SD,
    FloatArray,
    IntArray,
    Part,
    between_copies,
    half_width,
    median_variance,
    parts_of_variance,
)
from mglubench.stats import medians, medians_in_turn

T = TypeVar("T")
# What estimates are made of; found for many series at once.
_FOUND = ("round_medians", "between_copies", "within")


@dataclass(frozen=True)
class Series:
    """The samples of one case.

    Attributes:
        samples: latencies above 0, any unit, [..., S]; where there are leading axes, of several cases with the same
            rounds, copies and processes. rounds, copies: number of the round and of the copy of each sample;
            copies of different processes are different copies and have different numbers.
        processes: number of the process of each sample; a round is taken by one process. All are [S].
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
        return Series(self.samples[..., kept], self.rounds[kept], self.copies[kept], self.processes[kept])

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
        cells = group_medians(self.logs, row * shape[1] + column, shape[0] * shape[1])
        return between_copies(self.round_medians, cells.reshape(*cells.shape[:-1], *shape))

    @cached_property
    def within(self) -> FloatArray:
        """Standard deviation of the samples about their round's median, log, by absolute deviations (robust)."""
        count = len(self.rounds)
        if not count:
            return np.zeros(self.samples.shape[:-1])
        row = np.searchsorted(self.round_numbers, self.rounds)
        deviations = np.abs(self.logs - self.round_medians[..., row])
        return MAD_TO_SD * medians(deviations) * math.sqrt(count / max(1, count - len(self.round_numbers)))

    @property
    def sign(self) -> Hashable:
        """The same for series of the same rounds, copies and processes."""
        return self.rounds.tobytes(), self.copies.tobytes(), self.processes.tobytes()

    @classmethod
    def find_together(cls, many: Iterable[Series]) -> None:
        """Find what estimates are made of, for all that are alike at once."""
        new = {id(series): series for series in many if _FOUND[-1] not in series.__dict__}
        for alike in _by(new.values(), lambda series: series.sign):
            one = alike[0]
            stack = cls(np.stack([series.samples for series in alike]), one.rounds, one.copies, one.processes)
            shared = {"round_numbers": stack.round_numbers, "round_processes": stack.round_processes}
            medians, part, within = stack.round_medians, stack.between_copies, stack.within
            for series, *found in zip(alike, medians, part.variance, part.at_most, within, strict=True):
                of_copies = Part(found[1], found[2], part.count)
                # Where a cached property keeps it.
                own = dict(zip(_FOUND, (found[0], of_copies, found[3]), strict=True))
                series.__dict__.update(shared | own | {"copy_count": stack.copy_count})


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
    return latencies([series])[0]


def latencies(many: Sequence[Series]) -> list[Estimate]:
    """The latency of each case. Raises ValueError if one has no samples."""
    if not all(len(series.samples) for series in many):
        raise ValueError("no samples")
    Series.find_together(many)
    return _estimates([(series,) for series in many])


def ratio(base: Series, own: Series) -> Estimate:
    """Base over own, paired by round: the speed-up of own. Raises ValueError if they have no round in common.

    A case over itself is exactly 1.
    """
    return ratios([(base, own)])[0]


def ratios(pairs: Sequence[tuple[Series, Series]]) -> list[Estimate]:
    """Base over own of each pair of them. Raises ValueError if two have no round in common."""
    sides = [(base, own) if base is own else shared_rounds(base, own) for base, own in pairs]
    if not all(len(base.samples) for base, _ in sides):
        raise ValueError("no round in common")
    Series.find_together(side for both in sides for side in both)
    found = iter(_estimates([both for both in sides if both[0] is not both[1]]))
    return [_one(base) if base is own else next(found) for base, own in sides]


def shared_rounds(base: Series, own: Series) -> tuple[Series, Series]:
    """Both with the samples of the rounds that both have."""
    if base.round_numbers is own.round_numbers or np.array_equal(base.round_numbers, own.round_numbers):
        return base, own
    shared = np.intersect1d(base.round_numbers, own.round_numbers)
    return base.only(shared), own.only(shared)


def variance_shares(base: Series, own: Series) -> dict[str, float]:
    """Which shares of a ratio's variance are between ``rounds``, ``copies`` and ``processes``; empty if unknown."""
    sides = shared_rounds(base, own)
    if len(sides[0].round_numbers) < LEAST_ROUNDS:
        return {}
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
    """The median of each group of values, by group number 0 to ``count`` - 1; NaN for a group without values.

    Args:
        values: [..., S]. groups: [S].
    """
    if len(groups) and (groups[1:] < groups[:-1]).any():
        values = values[..., np.argsort(groups, kind="stable")]
    return medians_in_turn(values, np.bincount(groups, minlength=count))


def _by(many: Iterable[T], sign: Callable[[T], Hashable]) -> Iterable[list[T]]:
    """Those with the same sign together."""
    groups: dict[Hashable, list[T]] = {}
    for one in many:
        groups.setdefault(sign(one), []).append(one)
    return groups.values()


def _one(series: Series) -> Estimate:
    """A case over itself."""
    return Estimate(1.0, 0.0, len(series.round_numbers), series.copy_count, float(len(series.samples)))


def _estimates(many: Sequence[tuple[Series, ...]]) -> list[Estimate]:
    """The latency of one series, or the ratio of two of the same rounds; intervals of all that are alike at once."""

    def sign(place: int) -> Hashable:
        sides = many[place]
        return (sides[0].round_processes.tobytes(), *(side.between_copies.count for side in sides))

    found: dict[int, Estimate] = {}
    for alike in _by(range(len(many)), sign):
        base, *own = zip(*map(many.__getitem__, alike), strict=True)
        rounds = np.stack([series.round_medians for series in base])
        for series in own:
            rounds -= np.stack([side.round_medians for side in series])
        copies = [_together([series.between_copies for series in side]) for side in (base, *own)]
        halves, variances = half_width(rounds, copies, base[0].round_processes)
        numbers = (medians(rounds).tolist(), halves.tolist(), variances.tolist())
        for place, middle, half, variance in zip(alike, *numbers, strict=True):
            found[place] = _estimate(many[place], math.exp(middle), half, variance)
    return [found[place] for place in range(len(many))]


def _together(parts: Sequence[Part]) -> Part:
    """Parts of as many copies, as arrays."""
    variance, at_most = (np.array([getattr(part, name) for part in parts]) for name in ("variance", "at_most"))
    return Part(variance, at_most, parts[0].count)


def _estimate(sides: Sequence[Series], value: float, half: float, variance: float) -> Estimate:
    """With the number of independent samples that would give as good a median."""
    noise = sum(float(side.within) ** 2 for side in sides)
    fewest = min(len(side.samples) for side in sides)
    effective = float(fewest)
    if not math.isfinite(variance):
        effective = 1.0
    elif variance > 0:
        effective = min(effective, max(1.0, median_variance(fewest) * noise / variance))
    copies = min(side.copy_count for side in sides)
    return Estimate(value, half, len(sides[0].round_numbers), copies, effective)
