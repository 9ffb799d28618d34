"""What the runs of a baseline measured: one latency per case, the median over its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, stdev

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import CEILINGS
from mglubench.results.baselines import Baseline
from mglubench.results.frame import load
from mglubench.results.store import read_rows
from mglubench.status import Status


@dataclass(frozen=True, slots=True)
class CaseLatency:
    """A case over the runs of a baseline.

    Attributes:
        latency_us: median over runs of the runs' latencies, as reports show them. deviation: between runs, log;
            ``None`` of one run. runs: that measured it.
    """

    case: Case
    latency_us: float
    deviation: float | None
    runs: int


def latencies_of(baseline: Baseline) -> Mapping[str, CaseLatency]:
    """Every case that a run of the baseline measured, by its key, in measuring order; ceilings are left out.

    Raises:
        StoreError: a run is damaged, or from a newer version.
    """
    found: dict[str, list[float]] = {}
    cases: dict[str, Case] = {}
    for run in baseline.runs:
        for row in read_rows(run):
            if row.status == Status.OK and row.layer not in CEILINGS:
                cases.setdefault(row.key, row.case)
        frame = load(run, samples=True)
        own: dict[str, float] = {}
        for key, value in zip(frame["key"], frame["latency_us"], strict=True):
            # A baseline of several sets as the first of them measured it, as in tables.
            if str(key) in cases and float(value) > 0:
                own.setdefault(str(key), float(value))
        for key, value in own.items():
            found.setdefault(key, []).append(value)
    return {key: _case(cases[key], values) for key, values in found.items()}


def _case(case: Case, values: Sequence[float]) -> CaseLatency:
    deviation = stdev(map(math.log, values)) if len(values) > 1 else None
    return CaseLatency(case, median(values), deviation, len(values))
