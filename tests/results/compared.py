"""Runs that never were, for comparisons: latencies by case with a spread, a drift and a change that are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mglubench.cases.case import Case
from mglubench.results.judgement import LATENCY
from mglubench.results.readings import Reading
from mglubench.results.run_figures import CaseFigures, RunFigures
from mglubench.status import Status

VARIANTS = ("swiglu", "swiglu-merged", "swiglu-numba-cpu", "lu", "mglu-numba-cpu")
LEVEL = {"swiglu": 5000.0, "swiglu-merged": 5500.0, "swiglu-numba-cpu": 5200.0, "lu": 2600.0, "mglu-numba-cpu": 2800.0}


def case_of(variant: str, nm: int = 0, **more: Any) -> Case:
    """A case of the main job's shape."""
    return Case(variant, 2048, 8192, nm, mask="bernoulli:0.5" if nm else "none", **more)


CASES = tuple(case_of(v) for v in VARIANTS[:-1]) + tuple(case_of("mglu-numba-cpu", nm) for nm in (1, 4, 8))


def header(number: int = 0, *, device: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """A run's header."""
    return {
        "schema": 2,
        "name": "made",
        "cases": len(CASES),
        "sweep": {"measure": {"rounds": 6, "processes": 3, "max_seconds": 0.7}},
        "environment": {
            "time": f"2026-11-26T12:{number:02d}:00+00:00",
            "python": "3.11.7",
            "packages": {"mglubench": "0.1.0", "torch": "2.13.0"},
            "cpu": {},
            "devices": {"cpu": {"kind": "cpu", "name": "made", "torch_threads": 2, **(device or {})}},
            "git": {"commit": "c" * 40, "dirty": False},
        },
        **more,
    }


def made_run(number: int, logs: Mapping[Case, float], half: float = 0.03, **more: Any) -> RunFigures:
    """A run in which each case is away from its level by so much, log; ratios over the fastest GLU follow."""
    latency = {case: LEVEL[case.variant] * math.exp(away) for case, away in logs.items()}
    glus = {case.variant: us for case, us in latency.items() if case.variant.startswith("swiglu")}
    fastest = min(glus, key=glus.__getitem__, default=None)
    cases = {}
    for case, us in latency.items():
        readings = {LATENCY: reading(us, half)}
        if fastest is not None and fastest != case.variant:
            readings["vs_glu"] = reading(glus[fastest] / us, half, fastest)
        facts = {"bytes_total": 1000.0, "error_after": 1e-7}
        cases[case.key] = CaseFigures(case, Status.OK, "", "in turns over 2 copies", readings, facts)
    return RunFigures(header(number, **more), f"made/{number}", cases)


def reading(value: float, half: float, base: str = "") -> Reading:
    """A figure with an interval of this half width, log."""
    return Reading(value, value * math.exp(-half), value * math.exp(half), base)


def world(
    runs: int,
    rng: np.random.Generator,
    *,
    first: int = 0,
    own: float = 0.01,
    common: float = 0.02,
    changed: Mapping[Case, float] | None = None,
    drift: float = 0.0,
    cases: Sequence[Case] = CASES,
) -> list[RunFigures]:
    """Runs of one side.

    Args:
        own: standard deviation of each case between runs, log. common: of what all share. changed: what was planted,
            by case, log. drift: of all cases from one run to the next, log. first: number of the first run.
    """
    made = []
    for number in range(first, first + runs):
        shared = rng.normal(0, common) + drift * number
        logs = {case: shared + rng.normal(0, own) + (changed or {}).get(case, 0.0) for case in cases}
        made.append(made_run(number, logs))
    return made
