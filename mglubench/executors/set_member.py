"""A case while its set is being measured, and the measurement that becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from mglubench.cases.case import Case
from mglubench.comparison import Member as Compared
from mglubench.comparison import Role
from mglubench.executors.core_watch import place_of_cores
from mglubench.executors.session import Prepared
from mglubench.executors.summaries import summarise
from mglubench.hardware.devices import Reading
from mglubench.measure.measurement import Errors, Measurement, Round, series_of
from mglubench.status import Status

# Of a case's samples, discarded ones beyond which the rest is not believed.
MOSTLY = 0.5

# What the seconds of a case are spent for.
PURPOSES = ("prepare", "sampling", "check", "isolation")


@dataclass
class SetMember:
    """A case, what it is in the comparison of its set (``None``: nothing), and what was found of it so far."""

    case: Case
    role: Role | None
    prepared: Prepared | None = None
    samples: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    distances: list[float | None] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    before: list[Errors] = field(default_factory=list)
    after: list[Errors] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overhead: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PURPOSES, 0.0))
    discarded: int = 0
    why_discarded: str = "taken below 75 % of the SM clock"

    def compared_as(self, role: Role, kept: Sequence[bool]) -> Compared:
        """The case as its set is compared, by the rounds that are kept."""
        case = self.case
        return Compared(case.key, role, (case.nm, case.mask) if case.nm else None, series_of(*self.in_rounds(kept)))

    def in_rounds(self, kept: Sequence[bool]) -> tuple[list[int], list[Round]]:
        """Samples and rounds without the samples of rounds that are not kept."""
        ends = list(accumulate(turn.count for turn in self.rounds))
        parts = (self.samples[end - turn.count : end] for end, turn in zip(ends, self.rounds, strict=True))
        samples = [sample for part, stays in zip(parts, kept, strict=True) if stays for sample in part]
        rounds = [turn if stays else turn.kept(0, []) for turn, stays in zip(self.rounds, kept, strict=True)]
        return samples, rounds

    def take_back(self) -> None:
        """Forget the last round."""
        self.distances.pop()
        if count := self.rounds.pop().count:
            del self.samples[-count:]

    def spend(self, purpose: str, seconds: float) -> None:
        """Count seconds as spent for one of PURPOSES."""
        self.overhead[purpose] += seconds

    def measured(self, kept: Sequence[bool], stop: str, together: int) -> Measurement:
        """The outcome, by the rounds that are kept.

        Args:
            stop: why sampling of the set ended. together: cases that shared its rounds.
        """
        assert self.prepared is not None
        total = len(self.samples) + self.discarded
        if self.discarded > MOSTLY * total:
            reason = f"{self.discarded} of {total} samples were {self.why_discarded}"
            return self.failed(Status.UNSTABLE, reason)
        samples, rounds = self.in_rounds(kept)
        found, words = place_of_cores(self.distances, kept)
        return Measurement(
            self.case,
            Status.OK,
            samples=list(samples),
            rounds=rounds,
            stop=stop,
            timer="; ".join(filter(None, (self.prepared.timer, words))),
            discarded=self.discarded,
            ledger=self.prepared.ledger,
            checks=[_worst(self.before), _worst(self.after)],
            telemetry=summarise(self.readings) | found,
            overhead=self.overhead,
            interleaved=together,
            notes=self.notes,
        )

    def failed(self, status: Status, reason: str) -> Measurement:
        """The outcome of a case that has none: what is known of it beside its time."""
        prepared = self.prepared
        ledger, timer = (prepared.ledger, prepared.timer) if prepared else ({}, "")
        return Measurement(
            self.case,
            status,
            reason,
            discarded=self.discarded,
            ledger=ledger,
            timer=timer,
            overhead={} if prepared else {"prepare": self.overhead["prepare"]},
            notes=self.notes,
        )


def _worst(checks: Sequence[Errors]) -> Errors:
    """The worst of the checks that every process made."""

    def size(check: Errors) -> float:
        value = check.get("relative")
        return float("inf") if value is None else float(value)

    return max(checks, key=size)
