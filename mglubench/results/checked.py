"""What a check against float64 found: one result a case, and one a variant and dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mglubench.cases.case import Case
from mglubench.layer.tolerance import TOLERANCES
from mglubench.status import Status


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one case: ``ok``, ``wrong``, ``unsupported``, ``unavailable`` or another failure."""

    case: Case
    status: Status
    reason: str
    relative: float | None

    @property
    def tolerance(self) -> float:
        """The relative error that would still pass."""
        return TOLERANCES[self.case.dtype].relative

    @property
    def failed(self) -> bool:
        """Whether this is a defect, not an absence."""
        return self.status != Status.OK and not self.status.absent


@dataclass(frozen=True, slots=True)
class Judged:
    """A variant in one dtype.

    Attributes:
        passed, cases: how many are right, of those that could be tried. largest: relative error of the right ones.
        result: ``right``, ``WRONG``, or ``not run`` where nothing could be tried.
    """

    variant: str
    dtype: str
    passed: int
    cases: int
    largest: float | None
    tolerance: float
    result: str


def judged(verdicts: Sequence[Checked]) -> list[Judged]:
    """One judgement per variant and dtype, in the order of the verdicts."""
    groups: dict[tuple[str, str], list[Checked]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.case.variant, verdict.case.dtype), []).append(verdict)
    return [_judge(name, dtype, group) for (name, dtype), group in groups.items()]


def _judge(name: str, dtype: str, group: Sequence[Checked]) -> Judged:
    passed = [verdict for verdict in group if verdict.status == Status.OK]
    tried = [verdict for verdict in group if verdict.status not in (Status.UNSUPPORTED, Status.UNAVAILABLE)]
    errors = [verdict.relative for verdict in passed if verdict.relative is not None]
    result = "right" if tried and len(passed) == len(tried) else "not run" if not tried else "WRONG"
    return Judged(name, dtype, len(passed), len(tried), max(errors, default=None), group[0].tolerance, result)
