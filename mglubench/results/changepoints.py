"""Where a series of figures changed its level: a documented rule for the few and noisy points that baselines are.

The points are logarithms, in order of time. In four steps:

1. An interior point that leaves both its neighbours, to the same side and by more than :data:`SPIKE` deviations, is an
   outlier: it is set aside, since a level that changes stays changed. So is a first point that leaves the second.
2. The deviation is taken from the differences of neighbours (their median size, which a few changes do not move), and
   never below what is known otherwise, or below :data:`FLOOR`.
3. The series is cut into levels of at least :data:`SHORTEST` points so that squared distances from the levels' means,
   in units of the variance, plus a penalty for every cut are least. The penalty, :func:`penalty`, is as high as it
   takes to find a change in at most one of a hundred series without any (``tests/results/test_changepoints.py``).
4. A last point that leaves the one before is nobody's level yet and is kept out of step 3. Any last point is told of
   where it is outside of what the level before it predicts of one more, by a t interval of 99.8 %.

Optimal partitioning is that of Jackson et al., An algorithm for optimal partitioning of data on an interval (2005).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

SHORTEST = 2
SPIKE = 5.0
# No figure here is known better than to 0.3 %.
FLOOR = 0.003
# Fewer points say nothing of where a level changed.
LEAST = 4
# Median of |difference| of two normal numbers of deviation 1.
_DIFFERENCE = 0.6745 * math.sqrt(2)
# Of a t distribution, two-sided 99.8 %, by degrees of freedom; the last for more.
_T = {1: 318.3, 2: 22.33, 3: 10.21, 4: 7.17, 5: 5.89, 6: 5.21, 7: 4.79, 8: 4.50, 9: 4.30, 10: 4.14, 15: 3.73, 20: 3.55}


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of a series.

    Attributes:
        starts: index of the first point of every level but the first. outliers: indices of points set aside.
        last: whether the last point is far from the last level, which it alone cannot prove changed.
        deviation: of a point around its level, log.
    """

    starts: tuple[int, ...] = ()
    outliers: tuple[int, ...] = ()
    last: bool = False
    deviation: float = math.nan


def find_changes(points: Sequence[float], known: float = 0.0) -> Changes:
    """Where the level of a series changed.

    Args:
        points: logarithms in order of time. known: what is known of a point's deviation otherwise.
    """
    if len(points) < LEAST:
        return Changes()
    deviation = _deviation(points, known)
    outliers = tuple(_spikes(points, deviation))
    kept = [place for place in range(len(points)) if place not in outliers]
    values = [points[place] for place in kept]
    deviation = _deviation(values, known)
    body, tail = values[:-1], values[-1]
    alone = abs(tail - body[-1]) > SPIKE * deviation
    cuts = _cuts(body if alone else values, deviation)
    level = body[cuts[-1] if cuts else 0 :]
    return Changes(tuple(kept[cut] for cut in cuts), outliers, _far(tail, level, deviation), deviation)


def penalty(points: int) -> float:
    """What a cut costs in a series of so many points, in units of the variance."""
    return 15.0 + 120.0 / points + 2.0 * math.log(points)


def _deviation(points: Sequence[float], known: float) -> float:
    steps = [abs(b - a) for a, b in itertools.pairwise(points)]
    return max(median(steps) / _DIFFERENCE if steps else 0.0, known, FLOOR)


def _spikes(points: Sequence[float], deviation: float) -> list[int]:
    found = [0] if abs(points[0] - points[1]) > SPIKE * deviation else []
    for place in range(1, len(points) - 1):
        left, right = (points[place] - points[other] for other in (place - 1, place + 1))
        alone = min(abs(left), abs(right)) > SPIKE * deviation and (left > 0) == (right > 0)
        if alone and place - 1 not in found:
            found.append(place)
    return found


def _cuts(points: Sequence[float], deviation: float) -> list[int]:
    """First points of all levels but the first, of the partition that costs least."""
    sums, squares = [0.0], [0.0]
    for point in points:
        sums.append(sums[-1] + point - points[0])
        squares.append(squares[-1] + (point - points[0]) ** 2)

    def cost(start: int, end: int) -> float:
        total = sums[end] - sums[start]
        return max(0.0, squares[end] - squares[start] - total * total / (end - start)) / deviation**2

    price = penalty(len(points))
    best, before = [-price], [0]
    for end in range(1, len(points) + 1):
        options = [
            (best[start] + cost(start, end) + price, start)
            for start in range(end)
            if end - start >= SHORTEST and (start == 0 or start >= SHORTEST)
        ]
        least = min(options, default=(math.inf, 0))
        best.append(least[0])
        before.append(least[1])
    cuts, end = [], len(points)
    while before[end] > 0:
        end = before[end]
        cuts.append(end)
    return cuts[::-1]


def _far(point: float, level: Sequence[float], deviation: float) -> bool:
    """Whether a point is outside of what its level predicts of one more."""
    if len(level) < SHORTEST:
        return False
    middle, freedom = fmean(level), len(level) - 1
    own = math.sqrt(math.fsum((value - middle) ** 2 for value in level) / freedom)
    factor = next((value for degrees, value in _T.items() if degrees >= freedom), 3.29)
    return abs(point - middle) > factor * max(own, FLOOR, deviation) * math.sqrt(1 + 1 / len(level))
