"""What the runs of a baseline measured: one latency per case, the median over its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, stdev

from mglubench.cases.case import Case
from mglubench.results.baselines import Baseline
from mglubench.results.judgement import LATENCY
from mglubench.results.run_figures import read_figures


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
    for run in read_figures(baseline.runs):
        for key, figures in run.cases.items():
            if reading := figures.readings.get(LATENCY):
                cases.setdefault(key, figures.case)
                found.setdefault(key, []).append(reading.value)
    return {key: _case(cases[key], values) for key, values in found.items()}


def _case(case: Case, values: Sequence[float]) -> CaseLatency:
    deviation = stdev(map(math.log, values)) if len(values) > 1 else None
    return CaseLatency(case, median(values), deviation, len(values))
