"""What a reader must know of a figure beside its interval: data for footnotes, made from samples alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mglubench.estimates import Series
from mglubench.spread import BoolArray, FloatArray
from mglubench.stats import medians

# Rounds below which the README promises no interval that covers; three give one all the same.
ENOUGH_ROUNDS, ENOUGH_COPIES = 5, 4
# The median of fewer samples has no interval that covers 95 %: the ends of five cover 94, of four 88, of three 75.
LEAST_SAMPLES = 6
# Half of an interval that is more than a few per cent of its figure.
NOISY = 0.05
MOSTLY = 0.5
SOMETIMES = 0.1
# A trend counts if nearly all pairs of rounds agree on it (Mann-Kendall, z) and it is as large as this.
TREND_Z, TREND = 2.2, 0.02
# Two heaps of samples: their distance in standard deviations of either, relative size, and the smaller one's share.
HEAPS_APART, HEAPS_DIFFER, HEAPS_SHARE, HEAPS_SAMPLES = 5.0, 0.05, 0.15, 20


class Kind(StrEnum):
    """What can be the matter."""

    FEW_SAMPLES = "few samples"
    WARM = "warm"
    NOISY = "noisy"
    FEW_ROUNDS = "few rounds"
    FEW_COPIES = "few copies"
    STARVED = "starved"
    DRIFT = "drift"
    TWO_HEAPS = "two heaps"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is the matter with a case's samples.

    Attributes:
        kind: what. amount: how much of it; a count, a share or a factor, as ``words`` say. words: for a footnote.
    """

    kind: Kind
    amount: float
    words: str


def notices(series: Series, discarded: int = 0) -> list[Notice]:
    """Everything that is the matter with a case.

    Args:
        discarded: samples that were thrown away because clocks were low or cores were taken.
    """
    found = [*few_notices(len(series.round_numbers), series.copy_count)]
    found += starved_notice(len(series.samples), discarded)
    if len(series.samples):
        found += drift_notice(float(drift(series.round_medians)))
        found += heaps_notice(float(heaps(np.sort(series.logs))))
    return found


def plain_notices(samples: int, warm: str = "") -> list[Notice]:
    """What is the matter with a case whatever its rounds; ``warm`` says why caches may have held its weights."""
    found = [Notice(Kind.WARM, 1, f"not surely cold: {warm}")] if warm else []
    if samples < LEAST_SAMPLES:
        few = f"{samples} sample{'s' * (samples != 1)}: fewer than a 95 % interval needs, so there is none"
        found.append(Notice(Kind.FEW_SAMPLES, samples, few))
    return found


def noise_notice(half: float) -> list[Notice]:
    """Whether an interval is wide; ``half`` of it, as a share of its figure."""
    return [Notice(Kind.NOISY, half, f"its interval is wider than +-{NOISY:.0%}")] if noisy(np.array(half)) else []


def noisy(half: FloatArray) -> BoolArray:
    """Whether that is said."""
    return (half > NOISY) & (half < np.inf)


def few_notices(rounds: int, copies: int) -> list[Notice]:
    """Whether a figure rests on few rounds, or on few preparations."""
    found = []
    if rounds < ENOUGH_ROUNDS:
        found.append(Notice(Kind.FEW_ROUNDS, rounds, f"{rounds} of at least {ENOUGH_ROUNDS} rounds"))
    if copies < ENOUGH_COPIES:
        what = "one preparation" if copies == 1 else f"{copies} preparations"
        found.append(Notice(Kind.FEW_COPIES, copies, f"{what}: other addresses may give another latency"))
    return found


def starved_notice(kept: int, discarded: int) -> list[Notice]:
    """Whether many samples were thrown away."""
    total = kept + discarded
    if not total or discarded < SOMETIMES * total:
        return []
    how = "most" if discarded > MOSTLY * total else "some"
    return [Notice(Kind.STARVED, discarded / total, f"{how} samples were discarded: {discarded} of {total}")]


def drift_notice(change: float) -> list[Notice]:
    """A trend that :func:`drift` found; none if it is NaN."""
    return [Notice(Kind.DRIFT, change, f"{change:+.0%} from the first rounds to the last")] if change == change else []


def heaps_notice(times: float) -> list[Notice]:
    """Two heaps that :func:`heaps` found; none if it is NaN."""
    words = f"samples lie in two heaps, one {times:.2f} times the other"
    return [Notice(Kind.TWO_HEAPS, times, words)] if times == times else []


def drift(rounds: FloatArray) -> FloatArray:
    """How much the rounds' medians change from the first third to the last, NaN where that is no trend.

    Args:
        rounds: medians, log, in their order, [..., R].
    """
    n = rounds.shape[-1]
    if n < ENOUGH_ROUNDS:
        return np.full(rounds.shape[:-1], np.nan)
    later, earlier = np.tril_indices(n, -1)
    score = np.sign(rounds[..., later] - rounds[..., earlier]).sum(axis=-1)
    z = (np.abs(score) - 1) / np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    third = max(1, n // 3)
    change = np.exp(medians(rounds[..., -third:]) - medians(rounds[..., :third])) - 1
    return np.where((z < TREND_Z) | (np.abs(change) < TREND), np.nan, change)


def heaps(ordered: FloatArray) -> FloatArray:
    """Where samples lie in two heaps with a gap between, how many times the lower the upper one is; else NaN.

    It is the best cut in two that tells, and how far apart it leaves them.

    Args:
        ordered: logarithms of the samples, ascending, [..., S].
    """
    n = ordered.shape[-1]
    if n < HEAPS_SAMPLES:
        return np.full(ordered.shape[:-1], np.nan)
    sizes = np.arange(1, n)
    sums, squares = np.cumsum(ordered, axis=-1), np.cumsum(ordered**2, axis=-1)
    low, high = sums[..., :-1] / sizes, (sums[..., -1:] - sums[..., :-1]) / (n - sizes)
    within = (squares[..., -1:] - sizes * low**2 - (n - sizes) * high**2) / n
    cut = np.argmin(within, axis=-1)[..., None]
    low, high, within = (np.take_along_axis(part, cut, axis=-1)[..., 0] for part in (low, high, within))
    distance, deviation = high - low, np.sqrt(np.maximum(within, 1e-12))
    share = np.minimum(cut + 1, n - 1 - cut)[..., 0] / n
    none = (share < HEAPS_SHARE) | (distance < HEAPS_APART * deviation) | (distance < HEAPS_DIFFER)
    return np.where(none, np.nan, np.exp(distance))
