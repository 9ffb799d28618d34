"""What a comparison says of one figure: a verdict, why, by how much, and what it could have seen.

A *figure* is a latency, a ratio that tables show, what all cases of a device have in common, or a fact that is the same
at every run of the same code (bytes, errors, registers). Changes are relative: +0.05 is 5 % more than before. Of a
latency more is slower, of a ratio (a speed-up) more is faster; verdicts know which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mglubench.cases.case import Case

LATENCY = "latency_us"
# What all cases of a device have in common: the machine, or code that they share.
COMMON = "common"


class Verdict(StrEnum):
    """What became of a figure, the worst first.

    ``WORSE`` and ``BETTER`` are for facts that are no times; ``UNCLEAR`` says that these runs cannot tell.
    """

    FAILED = "failed"
    SLOWER = "slower"
    WORSE = "worse"
    MISSING = "missing"
    INCOMPARABLE = "incomparable"
    UNCLEAR = "unclear"
    FASTER = "faster"
    BETTER = "better"
    NEW = "new"
    SAME = "same"

    @property
    def rank(self) -> int:
        """Place among the verdicts, 0 for the worst."""
        return list(Verdict).index(self)


class Reason(StrEnum):
    """Why a verdict is what it is; a code that stays the same, whatever its words."""

    # A change that is one.
    BEYOND_SPREAD = "beyond-spread"
    BASELINE_MOVED = "baseline-moved"
    DIFFERS = "differs"
    # No change.
    WITHIN_MARGIN = "within-margin"
    EQUAL = "equal"
    WITHIN_TOLERANCE = "within-tolerance"
    NEGLIGIBLE = "negligible"
    # What these runs cannot tell.
    WITHIN_SPREAD = "within-spread"
    ONE_OF_MANY = "one-of-many"
    SPREAD_UNKNOWN = "spread-unknown"
    COMMON_MOVED = "common-moved"
    ONLY_AGAINST_OTHERS = "only-against-others"
    NOT_IN_CYCLES = "not-in-cycles"
    NOT_CONFIRMED = "not-confirmed"
    # What one side lacks.
    ONLY_NEW = "only-new"
    FAILED_BEFORE = "failed-before"
    NOT_IN_NEW = "not-in-new"
    ABSENT_NOW = "absent-now"
    FAILS_NOW = "fails-now"
    FAILS_STILL = "fails-still"
    # What may not be compared.
    OTHER_DEVICE = "other-device"
    OTHER_DRIVER = "other-driver"
    OTHER_CLOCKS = "other-clocks"
    OTHER_DTYPE = "other-dtype"
    OTHER_THREADS = "other-threads"
    OTHER_MEASURING = "other-measuring"
    FAKE = "fake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One figure of two sides.

    Attributes:
        what: :data:`LATENCY`, a ratio (``vs_glu``, ``vs_naive``, ``vs_printed``), :data:`COMMON`, or the column of a
            fact (``bytes_total``, ``error_after``, ``dram_bytes_read``, ...).
        key: of the case, or the device of what is common. case: ``None`` for what is of no case.
        reason: code. words: the same in a sentence, without a full stop at its end.
        base, new: the figure on either side, ``None`` where a side has none: the median over its runs.
        change: new over base less 1. low, high: its own 95 % interval; ``high`` may be infinite.
        visible: the smallest change that this comparison sees in four of five cases, relative; ``None`` for a fact.
        base_runs, new_runs: runs that the figure rests on.
        over: of a ratio, the variant that it is over; several, by commas, where runs differ in it.
        advice: one line, empty where nothing is to be done.
        defect: whether the case is somebody's mistake now: a wrong result, a crash, a hang.
        against_others: whether the change is against what all cases of the device moved by.
        counts: whether a slower or worse figure is a regression; a ratio whose baseline got faster is none.
    """

    what: str
    key: str
    verdict: Verdict
    reason: Reason
    words: str
    case: Case | None = None
    base: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    visible: float | None = None
    base_runs: int = 0
    new_runs: int = 0
    over: str = ""
    advice: str = ""
    against_others: bool = False
    defect: bool = False
    counts: bool = True

    @property
    def regression(self) -> bool:
        """Whether this is what a gate is there to find."""
        return self.verdict in (Verdict.SLOWER, Verdict.WORSE) and self.counts

    @property
    def size(self) -> float:
        """How large the change is, whatever its direction; 0 where there is none."""
        return abs(self.change or 0.0)


class FailOn(StrEnum):
    """What a user can ask a comparison to fail on."""

    SLOWER = "slower"
    MISSING = "missing"
    INCOMPARABLE = "incomparable"
    UNCLEAR = "unclear"


# Without a word from the user. A defective case always fails.
FAIL_ON = frozenset({FailOn.SLOWER, FailOn.MISSING, FailOn.INCOMPARABLE})
EXIT_GOOD, EXIT_DEFECT, EXIT_USAGE, EXIT_REGRESSION, EXIT_LACKING = range(5)
# Exit codes by what is found, the first that applies; numbers of findings never become one.
EXIT_CODES: Mapping[int, str] = {
    EXIT_GOOD: "nothing to fail on",
    EXIT_DEFECT: "a case is defective: a wrong result, a crash, a hang, an exception",
    EXIT_USAGE: "bad input; nothing was compared",
    EXIT_REGRESSION: "a regression: slower or worse",
    EXIT_LACKING: "something required is missing or cannot be compared (or is unclear, where that was asked for)",
}
_LACKING = {
    FailOn.MISSING: (Verdict.MISSING, Verdict.FAILED),
    FailOn.INCOMPARABLE: (Verdict.INCOMPARABLE,),
    FailOn.UNCLEAR: (Verdict.UNCLEAR,),
}


def fails(judgement: Judgement, fail_on: frozenset[FailOn] = FAIL_ON) -> bool:
    """Whether a judgement alone fails a job."""
    return exit_code((judgement,), fail_on) != EXIT_GOOD


def exit_code(judgements: tuple[Judgement, ...], fail_on: frozenset[FailOn] = FAIL_ON) -> int:
    """The exit code of a comparison: one of :data:`EXIT_CODES`."""
    if any(judgement.defect for judgement in judgements):
        return EXIT_DEFECT
    if FailOn.SLOWER in fail_on and any(judgement.regression for judgement in judgements):
        return EXIT_REGRESSION
    lacking = {verdict for word in fail_on for verdict in _LACKING.get(word, ())}
    return EXIT_LACKING if any(judgement.verdict in lacking for judgement in judgements) else EXIT_GOOD
