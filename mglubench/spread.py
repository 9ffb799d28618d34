"""How well a median over rounds is known: the one rule for the interval of every latency and ratio.

Samples come by round (a turn of a case; rounds are spread over the run), by copy (one preparation: one draw of
addresses, which stays the same in all its rounds) and, where several processes shared the rounds, by process. On the
logarithmic scale::

    sample = level + process + round + copy + noise         all independent

The location is the median over rounds of the rounds' medians. Its variance has three parts. What the medians of the R
rounds say of each other covers rounds and noise; what it cannot see are C copies and P processes that rounds share::

    V = c(R) s_R^2 / R  +  f s_C^2 / C  +  c(P) s_P^2 / P

    s_C^2 = max(0, variance between copies - what noise makes of it)
    s_P^2 = max(0, variance between the processes' medians - what rounds and copies make of it)

``c(n)`` is the variance of a median of n normal numbers over that of their mean, ``f`` goes from 1 to ``c(C)`` as
copies differ more than noise. The interval is location +- t sqrt(V), with the degrees of freedom of Satterthwaite: few
when few copies make most of V. A ratio is taken round by round, so that what a round does to both sides cancels; the
copies of both sides are added. Copies are compared within rounds by their medians, and noise is judged by the median of
absolute deviations, so that a few outliers do not count.

Fewer than three rounds give an infinite interval. One copy says nothing about another: the interval then holds for
these addresses. Two or three copies are taken as more uncertain than they look (:data:`FEW_COPIES`); two processes
cannot say how far a third would be, three can a little.

How often such intervals cover the truth: ``python -m tests.benchmarks.coverage``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mglubench.stats import medians

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LEAST_ROUNDS = 3
# From so many rounds on, what is uncertain about copies is the copies themselves and no longer the noise on them.
MANY_ROUNDS = 15
# Factors on the variance between two or three copies, which is as often far too small as far too large.
FEW_COPIES = {2: 3.0, 3: 1.5}
# Median of absolute deviations to standard deviation.
MAD_TO_SD = 1.4826

# c(n) for n = 1, 2, ...; and the 97.5 % point of (median - level) / (standard deviation / sqrt(n)) for n = 3, 4, ...
# Both by a million normal samples each; beyond the tables the limits for many.
_MEDIAN_VARIANCE = (
    1.0,
    1.0,
    1.345,
    1.193,
    1.433,
    1.289,
    1.473,
    1.344,
    1.496,
    1.386,
    1.506,
    1.411,
    1.519,
    1.432,
    1.523,
    1.447,
    1.532,
    1.456,
    1.539,
    1.47,
    1.537,
    1.48,
    1.541,
    1.487,
    1.541,
    1.49,
    1.545,
    1.496,
    1.551,
    1.5,
)
_MEDIAN_T = (
    4.433,
    3.274,
    3.021,
    2.753,
    2.766,
    2.612,
    2.67,
    2.554,
    2.612,
    2.524,
    2.582,
    2.505,
    2.562,
    2.49,
    2.546,
    2.486,
    2.536,
    2.48,
    2.521,
    2.473,
    2.516,
    2.473,
    2.51,
    2.469,
    2.506,
    2.467,
    2.505,
    2.465,
)
_MANY = np.pi / 2
# The 97.5 % point of Student's t by degrees of freedom; between them the logarithm goes linearly with 1 / df.
_T = ((1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (6, 2.447), (7, 2.365), (8, 2.306), (9, 2.262),
      (10, 2.228), (12, 2.179), (15, 2.131), (20, 2.086), (30, 2.042), (60, 2.000), (1e9, 1.960))  # fmt: skip
_T_X = np.array([-1 / df for df, _ in _T])
_T_Y = np.log([t for _, t in _T])


@dataclass(frozen=True, slots=True)
class Part:
    """What copies or processes add to the variance of a location; arrays over the leading axes.

    Attributes:
        variance: the part of V. at_most: the same without taking noise off; how sure ``variance`` is depends on it.
        count: number of copies or processes, 1 where nothing is known of others.
    """

    variance: FloatArray
    at_most: FloatArray
    count: int


def median_variance(n: int) -> float:
    """c(n): the variance of the median of n normal numbers over that of their mean."""
    return _MEDIAN_VARIANCE[n - 1] if n <= len(_MEDIAN_VARIANCE) else _MANY


def student_t(df: FloatArray) -> FloatArray:
    """The 97.5 % point of Student's t for at least one degree of freedom, fractions included."""
    return np.exp(np.interp(-1 / np.maximum(df, 1.0), _T_X, _T_Y))


def constants() -> dict[str, float | list[float] | list[list[float]]]:
    """The numbers of the rule by name, for a page that computes by it; ``t`` pairs degrees of freedom and points."""
    return {
        "least_rounds": LEAST_ROUNDS,
        "many_rounds": MANY_ROUNDS,
        "median_variance": list(_MEDIAN_VARIANCE),
        "many": float(_MANY),
        "median_t": list(_MEDIAN_T),
        "t": [[df, t] for df, t in _T],
    }


def between_copies(rounds: FloatArray, cells: FloatArray) -> Part:
    """What copies add to the variance of a location.

    Args:
        rounds: medians of the rounds, log, [..., R]. cells: medians by round and copy, log, [..., R, C]; NaN where a
            round has no sample of a copy, in all leading places alike.
    """
    count = cells.shape[-1]
    zero = np.zeros(rounds.shape[:-1])
    within = cells - rounds[..., None]
    seen = np.isfinite(within).reshape(-1, *within.shape[-2:])[0]
    per_copy = seen.sum(axis=0)
    # Where no two rounds share a copy, rounds differ by their copies too, and V has them in its first part.
    if count < 2 or per_copy.max() < 2:
        return Part(zero, zero, 1)
    effects = np.stack([medians(within[..., there, n]) for n, there in enumerate(seen.T)], axis=-1)
    rest = within - effects[..., None, :]
    free = int(seen.sum()) - len(seen) - count + 1
    noise, of_effects = zero, zero
    if free > 0:
        noise = (MAD_TO_SD * medians(np.abs(rest[..., seen]))) ** 2 * seen.sum() / free
        of_effects = noise * np.mean([median_variance(int(n)) / n for n in per_copy])
    seen_variance = effects.var(axis=-1, ddof=1)
    if count in FEW_COPIES:
        cautious = FEW_COPIES[count] * seen_variance / count
        return Part(cautious, cautious, count)
    variance = np.maximum(0.0, seen_variance - of_effects)
    share = np.divide(variance, variance + noise, out=np.ones_like(variance), where=variance + noise > 0)
    factor = 1 + (median_variance(count) - 1) * share
    return Part(factor * variance / count, factor * seen_variance / count, count)


def between_processes(rounds: FloatArray, processes: IntArray, copies: Sequence[Part]) -> Part:
    """What processes add to the variance of a location, beside what their rounds and copies do.

    Args:
        rounds: medians of the rounds, log, [..., R]; of a ratio their differences. processes: of each round, [R].
        copies: of every side.
    """
    names = np.unique(processes)
    count, zero = len(names), np.zeros(rounds.shape[:-1])
    # With a process for each round, rounds differ by their processes too.
    if count < 2 or count == len(processes):
        return Part(zero, zero, 1)
    of_each = [rounds[..., processes == name] for name in names]
    middles = np.stack([medians(part) for part in of_each], axis=-1)
    squares = sum(part.var(axis=-1) * part.shape[-1] for part in of_each)
    of_rounds = squares / (len(processes) - count)
    noise = of_rounds * np.mean([median_variance(part.shape[-1]) / part.shape[-1] for part in of_each])
    seen = middles.var(axis=-1, ddof=1)
    variance = np.maximum(0.0, seen - noise - count * sum((part.variance for part in copies), zero))
    factor = median_variance(count) / count
    return Part(factor * variance, factor * seen, count)


def parts_of_variance(
    rounds: FloatArray, copies: Sequence[Part], processes: IntArray | None = None
) -> tuple[FloatArray, list[Part]]:
    """What V is made of: the part of rounds, and those of the copies of every side and, last, of processes.

    Args:
        rounds, copies, processes: as for :func:`half_width`; without processes they have no part.
    """
    n = rounds.shape[-1]
    of_rounds = median_variance(n) * rounds.var(axis=-1, ddof=1) / n
    parts = list(copies)
    if processes is not None:
        parts.append(between_processes(rounds, processes, copies))
    return of_rounds, parts


def half_width(
    rounds: FloatArray, copies: Sequence[Part], processes: IntArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Half the width of the 95 % interval of the median over rounds, and V; both infinite for too few rounds.

    Args:
        rounds: medians of the rounds, log, [..., R]; of a ratio their differences. copies: of every side.
        processes: that took the rounds, [R]; ``None`` for one process.
    """
    n = rounds.shape[-1]
    if n < LEAST_ROUNDS:
        infinite = np.full(rounds.shape[:-1], np.inf)
        return infinite, infinite
    of_rounds, parts = parts_of_variance(rounds, copies, processes)
    variance = of_rounds + sum(part.variance for part in parts)
    doubt = min(1.0, n / MANY_ROUNDS)
    spread = of_rounds**2 / (n - 1)
    for part in parts:
        if part.count > 1:
            spread = spread + (part.variance + doubt * (part.at_most - part.variance)) ** 2 / (part.count - 1)
    df = np.divide(variance**2, spread, out=np.full_like(variance, float(n - 1)), where=spread > 0)
    # The median over rounds is not quite a normal number over its standard error: exact where rounds make all of V.
    exact = _median_t(n) / float(student_t(np.array(n - 1.0))) / np.sqrt(median_variance(n))
    by_rounds = np.divide(of_rounds, variance, out=np.ones_like(variance), where=variance > 0)
    return student_t(df) * (1 - (1 - exact) * by_rounds) * np.sqrt(variance), variance


def _median_t(n: int) -> float:
    known = n - LEAST_ROUNDS < len(_MEDIAN_T)
    return _MEDIAN_T[n - LEAST_ROUNDS] if known else float(student_t(np.array(n - 1.0))) * float(np.sqrt(_MANY))
