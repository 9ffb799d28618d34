"""The rule for what is the same at every run of the same code: any difference is a change, to the worse or the better.

Declared bytes, registers, spills and instructions are exact. A profiler's counters and the errors of a result move a
little (caches shared with others, sums in another order), so they have a tolerance; where runs of one side differ among
themselves by more than that, only values beyond all of them count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mglubench.results.judgement import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Exact:
    """The rule for one kind of fact.

    Attributes:
        tolerance: relative difference that is none. least: absolute difference that is none.
        more_is_better: whether a rise is an improvement (occupancy, load widths).
    """

    tolerance: float = 0.0
    least: float = 0.0
    more_is_better: bool = False

    def judge(self, base: Sequence[float], new: Sequence[float]) -> tuple[Verdict, Reason]:
        """The verdict on the values of either side's runs, at least one each."""
        if set(base) == set(new):
            return Verdict.SAME, Reason.EQUAL
        rise, fall = min(new) - max(base), min(base) - max(new)
        room = max(self.least, self.tolerance * max(map(abs, (*base, *new))))
        if max(rise, fall) <= room:
            return Verdict.SAME, Reason.WITHIN_TOLERANCE
        better = (rise > fall) == self.more_is_better
        return (Verdict.BETTER if better else Verdict.WORSE), Reason.DIFFERS


# Two runs of the same code count DRAM bytes that differ by what else the device does; errors by the order of sums.
COUNTED = Exact(tolerance=0.02, least=4096)
MEASURED_ERROR = Exact(tolerance=0.02)
DECLARED = Exact()


def rule_of(fact: str) -> Exact:
    """The rule for a column of facts."""
    if fact.startswith(("dram_", "l2_")):
        return COUNTED
    return MEASURED_ERROR if fact.startswith("error_") else DECLARED
