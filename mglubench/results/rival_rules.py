"""Rules of other tools, on the same runs, to show beside ours how often each alarms on identical code.

Each takes a case's samples of either side and says whether it would report it slower. As the tools are used: a side is
one run. Where there are several runs a side, their samples are put together, which is what their users do.

    nvbench             ``nvbench_compare.py`` as it was first: the mean moved by more than the smaller of both noises
                        (standard deviation over mean)
    pytest min:5%       ``--benchmark-compare-fail=min:5%``: the fastest sample is more than 5 % slower
    pytest mean:5%      the same of the mean
    Mann-Whitney        two-sided p < 0.05 (normal, ties and continuity corrected), and the median is larger: benchstat,
                        Google Benchmark
    Welch               two-sided p < 0.05 of Welch's t, and the mean is larger: hyperfine's script
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from mglubench.stats import normal_tail, student_tail

FloatArray = npt.NDArray[np.float64]
Rule = Callable[[FloatArray, FloatArray], bool]

LEVEL, SHARE = 0.05, 0.05


def nvbench(base: FloatArray, new: FloatArray) -> bool:
    """The mean moved by more than the smaller noise."""
    if len(base) < 2 or len(new) < 2:
        return False
    noise = min(side.std(ddof=1) / side.mean() for side in (base, new))
    return bool(new.mean() / base.mean() - 1 > noise)


def pytest_min(base: FloatArray, new: FloatArray) -> bool:
    """The fastest sample became more than 5 % slower."""
    return bool(new.min() > (1 + SHARE) * base.min())


def pytest_mean(base: FloatArray, new: FloatArray) -> bool:
    """The mean became more than 5 % slower."""
    return bool(new.mean() > (1 + SHARE) * base.mean())


def mann_whitney(base: FloatArray, new: FloatArray) -> bool:
    """Mann and Whitney's U by its normal limit (Conover 1999), two-sided at 5 %, and slower."""
    n, m = len(base), len(new)
    both = np.concatenate([base, new])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    u = float(ranks[n:].sum()) - m * (m + 1) / 2
    ties = float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1)) if n + m > 1 else 0.0
    variance = n * m / 12 * (n + m + 1 - ties)
    away = u - n * m / 2
    if variance <= 0 or away <= 0:
        return False
    return normal_tail(max(0.0, away - 0.5) / math.sqrt(variance)) < LEVEL


def welch(base: FloatArray, new: FloatArray) -> bool:
    """Welch's t, two-sided at 5 %, and slower."""
    n, m = len(base), len(new)
    if n < 2 or m < 2:
        return False
    a, b = base.var(ddof=1) / n, new.var(ddof=1) / m
    if a + b <= 0:
        return bool(new.mean() > base.mean())
    t = float((new.mean() - base.mean()) / math.sqrt(a + b))
    df = float((a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1)))
    return t > 0 and student_tail(t, df) < LEVEL


RIVALS: Mapping[str, Rule] = {
    "nvbench, legacy": nvbench,
    "pytest-benchmark min:5%": pytest_min,
    "pytest-benchmark mean:5%": pytest_mean,
    "Mann-Whitney 0.05": mann_whitney,
    "Welch 0.05": welch,
}
