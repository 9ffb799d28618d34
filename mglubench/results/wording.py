"""Verdicts on changes, in words and with advice: from what the rule for runs says to what a person reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mglubench.results.between_runs import Change
from mglubench.results.judgement import Reason, Verdict

# A change that is believed and smaller than this is nobody's regression.
NEGLIGIBLE = 0.005
# A case counts as changed only if its own figure moved by half of what it moved against the others.
OWN_SHARE = 0.5
# In cycles a change must be there by itself.
IN_CYCLES = 0.05


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict with its reason, words and advice."""

    verdict: Verdict
    reason: Reason
    words: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Wording:
    """How changes are judged and told.

    Attributes:
        alarms: of the whole job. margin: relative change up to which figures are the same.
    """

    alarms: float
    margin: float

    def of_latency(
        self,
        change: Change,
        plain: Change,
        cycles: Change | None,
        level: float,
        against_others: bool,
        alike: float = math.nan,
    ) -> Said:
        """A latency: more is slower.

        Args:
            change: that is judged. plain: of the latency itself. cycles: of latency times clock. level: what all cases
                of the device moved by, log. alike: change of the latency where the machine was in the same state on
                both sides, log; NaN where nothing tells.
        """
        if change.believed and _relative(abs(change.size)) >= NEGLIGIBLE:
            own = alike if math.isfinite(alike) else plain.size
            if against_others and own * _sign(change.size) < OWN_SHARE * abs(change.size):
                words = f"moved by {_percent(change.size)} against the others, but itself by {_percent(own)} only"
                return Said(Verdict.UNCLEAR, Reason.ONLY_AGAINST_OTHERS, words, AGAIN_IN_TURNS)
            if cycles is not None and (cycles.size * change.size <= 0 or cycles.tail > IN_CYCLES):
                words = f"the clock moved: in cycles it is {_percent(cycles.size)}, which runs differ by"
                return Said(Verdict.UNCLEAR, Reason.NOT_IN_CYCLES, words, "measure at one clock, both sides in turns")
            return self._believed(change, Verdict.SLOWER if change.size > 0 else Verdict.FASTER)
        said = self._not_believed(change)
        if said.verdict is Verdict.SAME and against_others and abs(math.expm1(level)) > self.margin:
            words = f"moved with all others, by {_percent(level)}: the machine, or code that all share"
            return Said(Verdict.UNCLEAR, Reason.COMMON_MOVED, words, AGAIN_IN_TURNS)
        return said

    def of_ratio(self, change: Change) -> Said:
        """A speed-up: more is faster."""
        if change.believed and _relative(abs(change.size)) >= NEGLIGIBLE:
            return self._believed(change, Verdict.FASTER if change.size > 0 else Verdict.SLOWER)
        return self._not_believed(change)

    def of_level(self, change: Change) -> Said:
        """What all cases have in common; it is the machine, or code that they share, and nobody can say which."""
        moved = f"all cases together moved by {_percent(change.size)}"
        if abs(math.expm1(change.size)) <= self.margin:
            return Said(Verdict.SAME, Reason.WITHIN_MARGIN, f"{moved}, which is not more than {self.margin:.0%}")
        return Said(
            Verdict.UNCLEAR, Reason.COMMON_MOVED, f"{moved}: the machine, or code that all share", AGAIN_IN_TURNS
        )

    def _believed(self, change: Change, verdict: Verdict) -> Said:
        words = (
            f"{_percent(change.size)} is more than runs of the same code differ by "
            f"(standard deviation {_plain(change.deviation)}, {change.tests} figures)"
        )
        return Said(verdict, Reason.BEYOND_SPREAD, words, CONFIRM if verdict is Verdict.SLOWER else "")

    def _not_believed(self, change: Change) -> Said:
        if change.believed:
            words = f"{_percent(change.size)} is there, and less than {NEGLIGIBLE:.1%}"
            return Said(Verdict.SAME, Reason.NEGLIGIBLE, words)
        if not change.measured:
            words = "one run a side, and how far runs differ on this machine is not known"
            return Said(Verdict.UNCLEAR, Reason.SPREAD_UNKNOWN, words, "`mglubench repeat` once, or more runs a side")
        low, high = change.interval()
        if -self.margin <= math.expm1(low) and _relative(high) <= self.margin:
            words = f"{_percent(change.size)} [{_percent(low)}, {_percent(high)}], all of it within {self.margin:.0%}"
            return Said(Verdict.SAME, Reason.WITHIN_MARGIN, words)
        if low > 0 or high < 0:
            words = (
                f"{_percent(change.size)} would be a change if it were the only figure; of {change.tests}, "
                "some move so by chance"
            )
            return Said(Verdict.UNCLEAR, Reason.ONE_OF_MANY, words, self._more(change, abs(change.size)))
        words = f"a change of {self.margin:.0%} is not ruled out; sees {_plain(change.visible)}"
        return Said(Verdict.UNCLEAR, Reason.WITHIN_SPREAD, words, self._more(change, math.log1p(self.margin)))

    def _more(self, change: Change, target: float) -> str:
        more = change.more_runs(target, self.alarms)
        if more is None:
            return f"runs differ by {_plain(change.deviation)}: a quieter machine, or longer ones (--max-seconds)"
        return f"{more} more run{'s' * (more != 1)} a side would see {_plain(target)}"


AGAIN_IN_TURNS = "measure base and new again, in turns"
CONFIRM = "measure this case again on both sides to confirm"


def _relative(log: float) -> float:
    """A change on the logarithmic scale as a share; infinite beyond what a number can hold."""
    return math.expm1(log) if log < 700 else math.inf


def _sign(value: float) -> float:
    return math.copysign(1.0, value)


def _percent(log: float) -> str:
    return f"{100 * _relative(log):+.1f} %"


def _plain(log: float) -> str:
    return f"{100 * _relative(log):.1f} %"
