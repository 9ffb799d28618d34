"""The rule for figures that differ from run to run: a change counts by how far runs of the same code differ.

A run is one number, the logarithm of its figure. A side's location is the mean of its runs, of five and more without
the lowest and the highest. (Of three, a run that went astray moves it, and widens the spread by more.) The change is
the difference of the locations; its variance::

    V = s^2 (c(n_base) / n_base + c(n_new) / n_new)  +  2 (SESSION s)^2

with c(n) = 1 for a mean and 1.15 for a trimmed one. The second part stands for what runs of one hour share, which no
number of them averages away. ``s``, the standard deviation between runs, is rarely known from so few runs, so all that
tells of it is pooled, each with its degrees of freedom: the runs of either side about their location; what
``mglubench repeat`` found on this machine; and only where that was never run, what all figures of this comparison have
in common
(moderation, as Smyth 2004 for microarrays) and what the runs' own intervals say.

A change is judged by Student's t. The rate of false alarms is that of the whole job: Holm's rule over all of its
figures, whatever their dependence, once for what is slower and once for what is faster. The smallest visible change is
that of Bonferroni's, with 80 % power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mglubench.stats import holm, normal_point, student_point, student_tail

FloatArray = npt.NDArray[np.float64]

# Share of the deviation between runs that all runs of one hour have in common.
SESSION = 0.25
# Degrees of freedom that are granted: repeats at most, what figures have in common, intervals of runs.
MOST_KNOWN, OF_OTHERS, OF_INTERVALS = 12.0, 4.0, 2.0
# A deviation below this is that of a clock, not of a machine.
LEAST_DEVIATION = 5e-4
# Runs from which on the ends are left out, and what that costs in variance.
MANY_RUNS, OF_TRIMMED = 5, 1.15
CONFIDENCE, POWER = 0.95, 0.8
# Who bears a change out has moved by so much of it.
HALF = 0.5
# More runs than anybody adds.
MOST_RUNS = 50


@dataclass(frozen=True, slots=True)
class Known:
    """A standard deviation between runs, log, from elsewhere, and its degrees of freedom."""

    deviation: float
    df: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A figure in all runs of two sides.

    Attributes:
        base, new: logarithms, a run each. within: variances of them by the runs' own intervals, those that are known.
        known: the spread that was measured before, if it was.
    """

    base: FloatArray
    new: FloatArray
    within: Sequence[float] = ()
    known: Known | None = None

    @property
    def df(self) -> int:
        """Degrees of freedom of the spread within sides."""
        return max(0, len(self.base) - 1) + max(0, len(self.new) - 1)

    @property
    def variance(self) -> float:
        """Pooled over both sides; 0 without degrees of freedom."""
        squares = sum(float(((side - side.mean()) ** 2).sum()) for side in (self.base, self.new))
        return squares / self.df if self.df else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A change and what is known of it, on the logarithmic scale.

    Attributes:
        size: new less base. error: its standard error, with ``df`` degrees of freedom; infinite if nothing is known.
        deviation: between runs. tail: how often such a change shows without one. visible: smallest that is seen.
        believed: whether Holm's rule takes it for one. runs: of either side. tests: figures that share the rate.
        measured: whether the spread is known from several runs, here or before.
    """

    size: float
    error: float
    df: float
    deviation: float
    tail: float
    visible: float
    believed: bool
    runs: tuple[int, int]
    tests: int
    measured: bool

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Ends of the interval of this change alone."""
        if not math.isfinite(self.error):
            return -math.inf, math.inf
        half = student_point(round(1 - confidence, 12), self.df) * self.error
        return self.size - half, self.size + half

    def more_runs(self, target: float, alarms: float) -> int | None:
        """How many more runs a side would see a change of this size; ``None`` if not even many would."""
        for more in range(1, MOST_RUNS + 1):
            counts = tuple(n + more for n in self.runs)
            if _visible(standard_error(self.deviation, *counts), self.df + 2 * more, self.tests, alarms) <= target:
                return more
        return None


@dataclass(frozen=True, slots=True)
class BetweenRuns:
    """The rule; ``alarms``: how often a job of identical code may have any rise believed, and as often any fall."""

    alarms: float = 0.05

    def judge(self, samples: Sequence[Sample]) -> list[Change]:
        """The change of every figure of a job."""
        others = _in_common(samples)
        found = [self._tested(sample, others, len(samples)) for sample in samples]
        # A tail counts both directions; what goes the other way has no part in a direction.
        rises, falls = (
            holm([change.tail / 2 if change.size * sign > 0 else 1.0 for change in found], self.alarms)
            for sign in (1, -1)
        )
        return [replace(change, believed=up or down) for change, up, down in zip(found, rises, falls, strict=True)]

    def alone(self, sample: Sample) -> Change:
        """The change of a figure that shares its rate with no other."""
        return self._tested(sample, None, 1)

    def _tested(self, sample: Sample, others: float | None, tests: int) -> Change:
        variance, df = _pooled(sample, others)
        runs = len(sample.base), len(sample.new)
        size = location(sample.new) - location(sample.base)
        measured = sample.known is not None or sample.df > 0
        if df <= 0:
            return Change(size, math.inf, 1.0, math.inf, 1.0, math.inf, False, runs, tests, measured)
        deviation = max(LEAST_DEVIATION, math.sqrt(variance))
        error = standard_error(deviation, *runs)
        tail = student_tail(abs(size) / error, df)
        visible = _visible(error, df, tests, self.alarms)
        return Change(size, error, df, deviation, tail, visible, False, runs, tests, measured)


def in_spreads(sample: Sample) -> float:
    """How large a figure's change is as a share of what is known of its spread, whatever the direction."""
    variance, _ = _pooled(sample, None)
    return abs(location(sample.new) - location(sample.base)) / max(LEAST_DEVIATION, math.sqrt(variance))


def said_by_half(sample: Sample, other: Sample) -> bool:
    """Whether another figure moved the same way, by half as much at least."""
    size, witness = (location(one.new) - location(one.base) for one in (sample, other))
    return math.copysign(witness, witness * size) >= HALF * abs(size)


def location(runs: FloatArray) -> float:
    """Of a side: the mean of its runs, of five and more without the lowest and the highest."""
    return float(np.sort(runs)[1:-1].mean() if len(runs) >= MANY_RUNS else runs.mean())


def standard_error(deviation: float, base: int, new: int) -> float:
    """Of a change between two sides of so many runs."""
    shares = sum((OF_TRIMMED if n >= MANY_RUNS else 1.0) / n for n in (base, new))
    return deviation * math.sqrt(shares + 2 * SESSION**2)


def _pooled(sample: Sample, others: float | None) -> tuple[float, float]:
    """The variance between runs by all that tells of it, and its degrees of freedom; 0 of them if nothing does."""
    parts = [(sample.variance, float(sample.df))]
    if sample.known is not None:
        parts.append((sample.known.deviation**2, min(sample.known.df, MOST_KNOWN)))
    else:
        if others is not None:
            parts.append((others, OF_OTHERS))
        if len(sample.within):
            parts.append((float(np.mean(sample.within)), OF_INTERVALS))
    df = sum(part for _, part in parts)
    return (sum(variance * part for variance, part in parts) / df if df else 0.0), df


def _in_common(samples: Sequence[Sample]) -> float | None:
    """The variance that figures have in common; ``None`` where one alone has runs to tell of it."""
    told = [sample.variance for sample in samples if sample.df]
    return float(np.mean(told)) if len(told) > 1 else None


def _visible(error: float, df: float, tests: int, alarms: float) -> float:
    point = student_point(round(2 * alarms / max(1, tests), 15), df)
    return (point + normal_point(POWER)) * error
