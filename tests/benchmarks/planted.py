"""``mglu-numba-cpu`` at nm=4 with a known slow-down: variants of a throw-away package, for a sweep beside the plain.

Each launch waits for a share of what it took itself, so that the slow-down is the same share whatever the machine does.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.cases.case import Case
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch
from mglubench.variants.numba_cpu import MGLUNumbaCPU

if TYPE_CHECKING:
    from tests.conftest import Plugin

PLAIN, NM = "mglu-numba-cpu", 4


class Planted10(MGLUNumbaCPU):
    """10 % slower."""

    name = "planted-10"
    summary = "mglu-numba-cpu and a wait of a tenth of its time"
    default = False
    share = 0.10

    def why_unsupported(self, case: Case) -> str | None:
        """At the nm of the plain layer alone."""
        return None if case.nm == NM else f"planted at nm={NM} only"

    def prepare(self, problem: Problem) -> Launch:
        """The launch, and then a wait that keeps the core busy."""
        launch, share = super().prepare(problem), self.share

        def delayed() -> None:
            start = time.perf_counter_ns()
            launch()
            end = start + (1 + share) * (time.perf_counter_ns() - start)
            while time.perf_counter_ns() < end:
                pass

        return delayed


class Planted05(Planted10):
    """5 % slower."""

    name = "planted-05"
    summary = "mglu-numba-cpu and a wait of a twentieth of its time"
    share = 0.05


def install(folder: Path) -> Plugin:
    """The package that offers them; it needs this checkout in the search path."""
    # Not above: it tells pools of threads to sleep, which is for tests and not for whom measures this.
    from tests.conftest import make_plugin

    source = "from tests.benchmarks.planted import Planted05, Planted10\n"
    return make_plugin(folder, source, {"planted-05": "Planted05", "planted-10": "Planted10"}, module="planted_delays")
