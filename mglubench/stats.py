"""Statistics of latency samples: medians and what is known about them.

Latencies are skewed and have outliers, so everything here rests on order statistics. The interval of a median needs no
assumption about the distribution; the bootstrap distribution of a median is drawn from its exact law instead of by
resampling: the k-th smallest of n draws with replacement is sample number ceil(n U), where U is the k-th smallest of n
uniform numbers and therefore Beta(k, n - k + 1) distributed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 1000


def median(samples: Sequence[float] | FloatArray) -> float:
    """Median of at least one sample."""
    return float(np.median(np.asarray(samples, dtype=np.float64)))


def median_interval(samples: Sequence[float] | FloatArray) -> tuple[float, float]:
    """The 95 % confidence interval of the median by order statistics (binomial), in the unit of the samples.

    Fewer than six samples cannot reach 95 %: the interval is then the whole range.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    low = lower_rank(len(ordered))
    return float(ordered[low]), float(ordered[len(ordered) - 1 - low])


def relative_half_width(samples: Sequence[float] | FloatArray) -> float:
    """Half the width of the median's interval over the median: the noise that sampling tries to bring down."""
    if len(samples) < 2:
        return math.inf
    low, high = median_interval(samples)
    middle = median(samples)
    return (high - low) / 2 / middle if middle > 0 else math.inf


@lru_cache(maxsize=4096)
def lower_rank(n: int) -> int:
    """Largest 0-based rank k such that [k, n - 1 - k] covers the median with at least 95 %; 0 if none does."""
    tail, term, rank = 0.0, 0.5**n if n < 1000 else 0.0, 0
    if n >= 1000:
        return max(0, math.floor(n / 2 - 1.96 * math.sqrt(n) / 2) - 1)
    for k in range(n // 2):
        tail += term
        if tail > (1 - CONFIDENCE) / 2:
            break
        rank = k
        term *= (n - k) / (k + 1)
    return rank


def bootstrap_medians(
    samples: Sequence[float] | FloatArray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> FloatArray:
    """``resamples`` draws from the bootstrap distribution of the median, exactly, in O(resamples)."""
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    n = len(ordered)
    middle = (n + 1) // 2
    first = rng.beta(middle, n - middle + 1, resamples)
    lower = ordered[_rank(first, n)]
    if n % 2:
        return lower
    # The next larger of the n uniforms: the smallest of the n - middle that lie above the first.
    second = first + (1 - first) * (1 - rng.random(resamples) ** (1 / (n - middle)))
    return (lower + ordered[_rank(second, n)]) / 2


def _rank(uniform: FloatArray, n: int) -> npt.NDArray[np.intp]:
    return np.minimum((uniform * n).astype(np.intp), n - 1)


def interval(draws: FloatArray) -> tuple[float, float]:
    """The central 95 % of draws."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
