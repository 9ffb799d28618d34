"""Statistics that know nothing but numbers: medians of samples, spreads between runs, shares, visible changes.

Latencies are skewed and have outliers, so what is said of samples rests on order statistics, and the interval of a
median needs no assumption about their distribution. Figures of whole runs are medians already; their logarithms are
taken as normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
# Of a change that is there, how often a comparison is to see it.
POWER = 0.8
# The 2.5 % and the 97.5 % point of chi-square for 1, 2, ... degrees of freedom; beyond them Wilson and Hilferty's
# cube is right to a few thousandths.
_CHI_SQUARE = (
    (0.000982, 5.024),
    (0.0506, 7.378),
    (0.2158, 9.348),
    (0.4844, 11.143),
    (0.8312, 12.833),
    (1.2373, 14.449),
    (1.6899, 16.013),
    (2.1797, 17.535),
    (2.7004, 19.023),
    (3.2470, 20.483),
)
_NORMAL = NormalDist()


def whole_numbers(values: Iterable[int], count: int) -> npt.NDArray[np.int64]:
    """An array of so many whole numbers."""
    return np.fromiter(values, dtype=np.int64, count=count)


def medians(values: FloatArray) -> FloatArray:
    """The median along the last axis, which is not empty; short axes are what it is made for."""
    count = values.shape[-1]
    if count > 2:
        values = np.sort(values, axis=-1)
    found: FloatArray = (values[..., (count - 1) // 2] + values[..., count // 2]) / 2
    return found


def medians_in_turn(values: FloatArray, sizes: npt.NDArray[np.int64]) -> FloatArray:
    """The median of each run of values along the last axis, given how long each run is; NaN for an empty one."""
    found = np.full((*values.shape[:-1], len(sizes)), np.nan)
    for alike, runs in runs_alike(values, sizes):
        found[..., alike] = medians(runs)
    return found


def runs_alike(values: FloatArray, sizes: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.intp], FloatArray]]:
    """Runs of values along the last axis by their length: which of them, and their values as rows of a matrix.

    Many short sorts are far cheaper than a long one.
    """
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]).tolist():
        alike = np.flatnonzero(sizes == size)
        if len(alike) * size == values.shape[-1]:
            yield alike, values.reshape(*values.shape[:-1], -1, size)
        else:
            yield alike, values[..., starts[alike, None] + np.arange(size)]


def median(samples: Sequence[float] | FloatArray) -> float:
    """Median of at least one sample."""
    return float(np.median(np.asarray(samples, dtype=np.float64)))


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


def deviation_interval(deviation: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation that was taken from ``count`` normal numbers, at least two."""
    df = count - 1
    low, high = _chi_square(df)
    return deviation * math.sqrt(df / high), deviation * math.sqrt(df / low)


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of which ``hits`` of ``count`` were seen (Wilson's); 0 to 1 if none was."""
    if not count:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf((1 + CONFIDENCE) / 2)
    share, more = hits / count, z * z / count
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / count + more / count / 4) / (1 + more)
    return max(0.0, middle - half), min(1.0, middle + half)


def visible_change(deviation: float, runs: int, figures: int) -> float:
    """The smallest change that a comparison of ``runs`` runs a side sees in four of five cases.

    ``(z(1 - 0.05 / 2 m) + z(0.8)) * deviation * sqrt(2 / runs)``: 5 % false alarms for a job of m ``figures`` together
    (Bonferroni), 80 % power, a deviation that is taken as known.

    Args:
        deviation: between single runs of the same thing, log.

    Returns:
        The change on the logarithmic scale.
    """
    alarms = (1 - CONFIDENCE) / 2 / max(1, figures)
    return (_NORMAL.inv_cdf(1 - alarms) + _NORMAL.inv_cdf(POWER)) * deviation * math.sqrt(2 / runs)


def normal_point(share: float) -> float:
    """The number that this share of standard normal numbers is below."""
    return _NORMAL.inv_cdf(share)


def normal_tail(z: float) -> float:
    """How often a standard normal number is farther from 0 than ``z``, to either side."""
    return math.erfc(abs(z) / math.sqrt(2))


def student_tail(t: float, df: float) -> float:
    """How often Student's t with ``df`` degrees of freedom is farther from 0 than ``t``, to either side."""
    if not math.isfinite(t):
        return 0.0
    return _beta_share(df / 2, 0.5, df / (df + t * t))


@lru_cache(maxsize=4096)
def student_point(tail: float, df: float) -> float:
    """The t that :func:`student_tail` gives this share of, 0 < ``tail`` < 1; by bisection."""
    low, high = 0.0, 1.0
    while student_tail(high, df) > tail:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, df) > tail else (low, middle)
    return (low + high) / 2


def holm(tails: Sequence[float], alarms: float) -> list[bool]:
    """Which of several tests to believe, so that none of those without an effect is believed in 1 - ``alarms`` of all
    jobs, however they depend on each other (Holm 1979: the k-th smallest tail is held against alarms / (m - k)).
    """
    believed = [False] * len(tails)
    for rank, place in enumerate(sorted(range(len(tails)), key=tails.__getitem__)):
        if tails[place] > alarms / (len(tails) - rank):
            break
        believed[place] = True
    return believed


def _beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22, Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(b, a, 1 - x)
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    tiny, fraction, c, d = 1e-300, 1.0, 1.0, 0.0
    for step in range(400):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        fraction *= c * d
        if step and abs(c * d - 1) < 1e-14:
            break
    return math.exp(front) * (fraction - 1) / a


def _chi_square(df: int) -> tuple[float, float]:
    if df <= len(_CHI_SQUARE):
        return _CHI_SQUARE[df - 1]
    z, part = _NORMAL.inv_cdf((1 + CONFIDENCE) / 2), 2 / (9 * df)
    low, high = (df * (1 - part + sign * z * math.sqrt(part)) ** 3 for sign in (-1, 1))
    return low, high
