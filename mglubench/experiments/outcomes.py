"""What the trials of an experiment have come to: means over seeds, spreads, differences seed by seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from mglubench.experiments.trial import Row
from mglubench.stats import CONFIDENCE, student_point


@dataclass(frozen=True, slots=True)
class Mean:
    """Of one number per seed.

    Attributes:
        sd: between seeds, ``None`` of one. low, high: the 95 % interval of the mean by Student's t, ``None`` of one.
    """

    count: int
    value: float
    sd: float | None
    low: float | None
    high: float | None
    lowest: float
    highest: float


def mean_of(values: Sequence[float]) -> Mean:
    """Of at least one number."""
    count, value = len(values), fmean(values)
    if count < 2:
        return Mean(count, value, None, None, None, value, value)
    sd = stdev(values)
    half = student_point(1 - CONFIDENCE, count - 1) * sd / math.sqrt(count)
    return Mean(count, value, sd, value - half, value + half, min(values), max(values))


def losses_by_seed(rows: Iterable[Row], arm: str, step: int, phase: str = "main", start: str = "") -> dict[int, float]:
    """The loss of an arm after so many steps, by seed."""
    return {
        row.seed: row.loss
        for row in rows
        if (row.phase, row.arm, row.step, row.start) == (phase, arm, step, start) and row.loss is not None
    }


def difference(mine: Mapping[int, float], theirs: Mapping[int, float]) -> Mean | None:
    """Mine minus theirs over the seeds that both have; trials of a seed share their batches."""
    both = [mine[seed] - theirs[seed] for seed in mine if seed in theirs]
    return mean_of(both) if both else None


def last_steps(rows: Iterable[Row]) -> dict[tuple[str, int], Row]:
    """Of the comparison's trials, by arm and seed, the evaluation that is farthest."""
    found: dict[tuple[str, int], Row] = {}
    for row in rows:
        if row.phase == "main" and row.loss is not None:
            before = found.get((row.arm, row.seed))
            if before is None or before.step < row.step:
                found[row.arm, row.seed] = row
    return found
