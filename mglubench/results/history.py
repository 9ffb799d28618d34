"""Baselines in order of time: every case's latency, and where it changed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from mglubench.cases.case import Case
from mglubench.results.baseline_latencies import CaseLatency, latencies_of
from mglubench.results.baselines import Baseline
from mglubench.results.changepoints import find_changes

# Nobody looks into a change of less than a hundredth.
SMALLEST = 0.01
# A median of a few runs, against their mean.
_MEDIAN = 1.25


@dataclass(frozen=True, slots=True)
class Point:
    """A case in one baseline: its name, time (UTC), commit, and the latency there."""

    baseline: str
    time: str
    commit: str
    latency_us: float


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A level that began at a point: ``change`` is relative to the level before, in latency (more is slower)."""

    at: Point
    before_us: float
    after_us: float

    @property
    def change(self) -> float:
        """Relative."""
        return self.after_us / self.before_us - 1


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """A case on one kind of device, over all baselines that have it.

    Attributes:
        devices: their names. points: oldest first. changes: where its level changed. outliers: baselines whose point
            was set aside. last: how far the last point alone is from its level, relative; ``None`` where it is not
            far. deviation: of a point around its level, log; ``None`` of too few points.
    """

    case: Case
    devices: tuple[str, ...]
    points: tuple[Point, ...]
    changes: tuple[LevelChange, ...] = ()
    outliers: tuple[str, ...] = ()
    last: float | None = None
    deviation: float | None = None


def histories(baselines: Iterable[Baseline]) -> list[CaseHistory]:
    """The history of every case, in the order in which cases first appear.

    Args:
        baselines: oldest first. Those of other devices have histories of their own.

    Raises:
        StoreError: a run is damaged, or from a newer version.
    """
    found: dict[tuple[str, tuple[str, ...]], list[tuple[Point, CaseLatency]]] = {}
    for baseline in baselines:
        devices = tuple(dict.fromkeys(name for run in baseline.manifest.runs for name in run.devices))
        for key, latency in latencies_of(baseline).items():
            point = Point(baseline.name, baseline.time, baseline.manifest.commit, latency.latency_us)
            found.setdefault((key, devices), []).append((point, latency))
    return [_history(devices, series) for (_, devices), series in found.items()]


def _history(devices: tuple[str, ...], series: Sequence[tuple[Point, CaseLatency]]) -> CaseHistory:
    points = tuple(point for point, _ in series)
    changes = find_changes([math.log(point.latency_us) for point in points], _known(one for _, one in series))
    # What the last point alone shows is no part of the level that it is held against.
    ends = len(points) - (1 if changes.last else 0)
    kept = [place for place in range(ends) if place not in changes.outliers]
    bounds = [0, *changes.starts, len(points)]
    levels = [
        median(points[place].latency_us for place in kept if start <= place < end)
        for start, end in itertools.pairwise(bounds)
    ]
    moved = [
        LevelChange(points[start], before, after)
        for start, before, after in zip(changes.starts, levels, levels[1:], strict=False)
    ]
    return CaseHistory(
        series[-1][1].case,
        devices,
        points,
        tuple(change for change in moved if abs(change.change) >= SMALLEST),
        tuple(points[place].baseline for place in changes.outliers),
        points[-1].latency_us / levels[-1] - 1 if changes.last else None,
        None if math.isnan(changes.deviation) else changes.deviation,
    )


def _known(latencies: Iterable[CaseLatency]) -> float:
    """What the runs of each baseline say of the deviation of its median; 0 where none has several."""
    squares = [one.deviation**2 / one.runs for one in latencies if one.deviation is not None]
    return _MEDIAN * math.sqrt(sum(squares) / len(squares)) if squares else 0.0
