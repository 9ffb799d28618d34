"""What became of a step: in one slice, and over all slices so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StepStatus(StrEnum):
    """How a step stands; the journal and the documents hold the word."""

    OK = "ok"
    FAILED = "failed"
    # The machine lacks what it needs.
    ABSENT = "absent"
    # The slice is over; the next one goes on with it.
    PART = "part"
    # In the journal alone: a slice has started on it. In a campaign's state alone: it is not finished.
    BEGUN = "begun"
    LEFT = "left"

    @property
    def finished(self) -> bool:
        """Whether no slice will do it again."""
        return self in (StepStatus.OK, StepStatus.FAILED, StepStatus.ABSENT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step in this slice.

    Attributes:
        reason: one line. artefacts: paths relative to the campaign's folder. progress: units done so far.
    """

    status: StepStatus
    reason: str = ""
    artefacts: tuple[str, ...] = ()
    progress: int = 0


@dataclass(frozen=True, slots=True)
class StepState:
    """A step as the journal has it: finished, or left with what is done of it.

    Attributes:
        seconds: of all slices together. reason, artefacts, progress: as of the last slice that ended, see
            :class:`Outcome`.
    """

    step: str
    kind: str
    status: StepStatus
    seconds: float
    reason: str = ""
    artefacts: tuple[str, ...] = ()
    progress: int = 0
