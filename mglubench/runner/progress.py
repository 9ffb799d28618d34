"""What a sweep tells while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mglubench.cases.case import Case
    from mglubench.executors.comparison_set import ComparisonSet
    from mglubench.measure.measurement import Measurement
    from mglubench.runner.plan import Plan


class Progress:
    """Told of a sweep's events; override what is of interest.

    The methods are called between cases, never while one is timed, and what they raise ends the sweep.
    """

    def planned(self, plan: Plan, folder: Path, done: int) -> None:
        """All is known: the cases in measuring order, the run's folder, and how many cases it holds already."""

    def phase(self, name: str, case: Case) -> None:
        """A case is about to be prepared (``prepare``) or to get its next block of samples (``sample``)."""

    def set_over(self, group: ComparisonSet) -> None:
        """A comparison set is over; its rows are on the disk."""

    def fleet(self, what: str, known: Mapping[str, int | float | str]) -> None:
        """Something has happened in a fleet that measures: a line of :mod:`mglubench.results.fleet_record`."""

    def finished(self, measurement: Measurement) -> None:
        """A case is over, for better or worse, and its row is stored; the rows of a set are synced after its last."""
