"""What a reader must know of a figure beside its interval: data for footnotes, made from samples alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mglubench.estimates import Series
from mglubench.spread import FloatArray

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
    found = [*_few(series), _starved(len(series.samples), discarded)]
    if len(series.samples):
        found += [_drift(series.round_medians), _two_heaps(series.logs)]
    return [notice for notice in found if notice is not None]


def plain_notices(samples: int, warm: str = "") -> list[Notice]:
    """What is the matter with a case whatever its rounds; ``warm`` says why caches may have held its weights."""
    found = [Notice(Kind.WARM, 1, f"not surely cold: {warm}")] if warm else []
    if samples < LEAST_SAMPLES:
        few = f"{samples} sample{'s' * (samples != 1)}: fewer than a 95 % interval needs, so there is none"
        found.append(Notice(Kind.FEW_SAMPLES, samples, few))
    return found


def noise_notice(half: float) -> list[Notice]:
    """Whether an interval is wide; ``half`` of it, as a share of its figure."""
    return [Notice(Kind.NOISY, half, f"its interval is wider than +-{NOISY:.0%}")] if NOISY < half < np.inf else []


def _few(series: Series) -> list[Notice]:
    found = []
    if (rounds := len(series.round_numbers)) < ENOUGH_ROUNDS:
        found.append(Notice(Kind.FEW_ROUNDS, rounds, f"{rounds} of at least {ENOUGH_ROUNDS} rounds"))
    if (copies := series.copy_count) < ENOUGH_COPIES:
        what = "one preparation" if copies == 1 else f"{copies} preparations"
        found.append(Notice(Kind.FEW_COPIES, copies, f"{what}: other addresses may give another latency"))
    return found


def _starved(kept: int, discarded: int) -> Notice | None:
    total = kept + discarded
    if not total or discarded < SOMETIMES * total:
        return None
    how = "most" if discarded > MOSTLY * total else "some"
    return Notice(Kind.STARVED, discarded / total, f"{how} samples were discarded: {discarded} of {total}")


def _drift(rounds: FloatArray) -> Notice | None:
    """A trend over the rounds, from the first third to the last."""
    n = len(rounds)
    if n < ENOUGH_ROUNDS:
        return None
    later, earlier = np.tril_indices(n, -1)
    score = float(np.sign(rounds[later] - rounds[earlier]).sum())
    z = (abs(score) - 1) / np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    third = max(1, n // 3)
    change = float(np.exp(np.median(rounds[-third:]) - np.median(rounds[:third])) - 1)
    if z < TREND_Z or abs(change) < TREND:
        return None
    return Notice(Kind.DRIFT, change, f"{change:+.0%} from the first rounds to the last")


def _two_heaps(logs: FloatArray) -> Notice | None:
    """Whether samples lie in two heaps with a gap between: the best cut in two, and how far apart it leaves them."""
    ordered, n = np.sort(logs), len(logs)
    if n < HEAPS_SAMPLES:
        return None
    sizes = np.arange(1, n)
    sums, squares = np.cumsum(ordered), np.cumsum(ordered**2)
    low, high = sums[:-1] / sizes, (sums[-1] - sums[:-1]) / (n - sizes)
    within = (squares[-1] - sizes * low**2 - (n - sizes) * high**2) / n
    cut = int(np.argmin(within))
    distance, deviation = float(high[cut] - low[cut]), float(np.sqrt(max(within[cut], 1e-12)))
    share = min(sizes[cut], n - sizes[cut]) / n
    if share < HEAPS_SHARE or distance < HEAPS_APART * deviation or distance < HEAPS_DIFFER:
        return None
    times = float(np.exp(distance))
    return Notice(Kind.TWO_HEAPS, times, f"samples lie in two heaps, one {times:.2f} times the other")
