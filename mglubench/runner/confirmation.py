"""Confirm before an alarm: which cases of a comparison are measured again, and what becomes of its verdicts then.

A suspect is a latency or a ratio that is slower. It is measured again with what its ratios are over and, so that what
all cases have in common can be told from it, with some cases that are not suspected. What fails is no suspect: a
defect is not noise. Facts that are no times are none either: they are the same at every run.

Where both sides can be measured in turns, what all cases of a device have in common is judged too: without that, nobody
can tell a slower machine from slower code that all share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mglubench.cases.case import Case
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.results.judgement import LATENCY, Judgement, Reason, Verdict
from mglubench.results.levels import LEAST_VARIANTS
from mglubench.results.readings import RATIOS
from mglubench.results.run_comparison import Comparison
from mglubench.runner.plan import Plan

TIMES = frozenset({LATENCY, *RATIOS})


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is measured again.

    Attributes:
        keys: of suspected cases. over: variants that suspected ratios are over. latencies: of all cases, as the
            baseline has them, by key; the fastest of those that are not suspected keep the suspects company.
    """

    keys: frozenset[str]
    over: frozenset[str]
    latencies: Mapping[str, float]

    def narrowed(self, plan: Plan) -> Plan:
        """The plan with the suspects and their company alone."""
        return plan.only(self._wanted)

    def _wanted(self, group: ComparisonSet) -> Collection[Case]:
        suspects = [case for case in group.cases if case.key in self.keys]
        if not suspects:
            return ()
        others = [case for case in group.cases if case.key not in self.keys]
        kept = [case for case in others if case.variant in self.over]
        wanted = max(LEAST_VARIANTS, len({case.variant for case in suspects}) + 1)
        known = [case for case in others if case not in kept and case.key in self.latencies]
        for case in sorted(known, key=lambda case: self.latencies[case.key]):
            if len({one.variant for one in kept}) >= wanted:
                break
            if case.variant not in {one.variant for one in kept}:
                kept.append(case)
        return [*suspects, *kept]


def suspicion(comparison: Comparison, *, in_turns: bool, keys: Collection[str] | None = None) -> Suspicion:
    """What a comparison makes suspect.

    Args:
        in_turns: whether the baseline's code can be measured in turns with this one, so that what all cases have in
            common can be judged. keys: suspects of an interrupted gate, in place of those found.
    """
    slower = [judgement for judgement in comparison.judgements if is_suspect(judgement)]
    latencies = {judgement.key: judgement.base for judgement in comparison.latencies if judgement.base is not None}
    found = {judgement.key for judgement in slower}
    if in_turns and any(map(_moved_together, comparison.common)):
        found |= set(latencies)
    over = {name for judgement in slower for name in judgement.over.split(", ") if name}
    return Suspicion(frozenset(found if keys is None else keys), frozenset(over), latencies)


def is_suspect(judgement: Judgement) -> bool:
    """Whether a judgement would be an alarm, and could be noise."""
    return judgement.verdict is Verdict.SLOWER and judgement.counts and judgement.what in TIMES


def confirmed(first: Comparison, again: Comparison | None, suspects: Collection[str], how: str) -> Comparison:
    """The first comparison with its suspects judged by the second.

    Args:
        again: ``None`` where nothing could be measured again. suspects: keys of the cases that were. how: in words
            (``in turns with main``).
    """
    found = again.judgements if again else ()
    second = {(judgement.key, judgement.what): judgement for judgement in found}
    failed = {judgement.key: judgement for judgement in found if judgement.defect}
    judged = [
        _final(judgement, second.get((judgement.key, judgement.what)), failed.get(judgement.key), how)
        if judgement.key in suspects
        else judgement
        for judgement in first.judgements
    ]
    levels = {judgement.key: judgement for judgement in (again.common if again else ())}
    common = [_final_common(judgement, levels.get(judgement.key), how) for judgement in first.common]
    return replace(first, judgements=tuple(judged), common=tuple(common))


def _final(first: Judgement, again: Judgement | None, failed: Judgement | None, how: str) -> Judgement:
    if not is_suspect(first):
        # What moved with all others is known better once both sides were measured in turns.
        better = first.reason is Reason.COMMON_MOVED and again is not None
        return again if better and again is not None else first
    if again is None or again.change is None:
        why = f": {failed.words}" if failed is not None else ""
        words = f"{first.words}; it could not be measured again {how}{why}"
        return replace(first, words=words, defect=failed is not None)
    if again.regression:
        return replace(
            again, words=f"{again.words}; confirmed {how}, first seen as {_percent(first.change)}", advice=""
        )
    return replace(
        again,
        verdict=Verdict.UNCLEAR,
        reason=Reason.NOT_CONFIRMED,
        words=f"slower by {_percent(first.change)} at first, {_percent(again.change)} when measured again {how}",
        advice="nothing to do, unless it comes back",
    )


def _final_common(first: Judgement, again: Judgement | None, how: str) -> Judgement:
    if again is None or not _moved_together(first):
        return first
    if _moved_together(again) and again.low is not None and again.low > 0:
        words = f"all cases together are slower by {_percent(again.change)} {how}: it is code that all share"
        return replace(again, verdict=Verdict.SLOWER, reason=Reason.BEYOND_SPREAD, words=words, advice="")
    moved = f"all cases moved by {_percent(first.change)} at first, by {_percent(again.change)} {how}"
    words = f"{moved}: it was the machine"
    return replace(again, verdict=Verdict.SAME, reason=Reason.WITHIN_MARGIN, words=words, advice="")


def _moved_together(judgement: Judgement) -> bool:
    """Whether all cases of a device got slower together, by more than the margin."""
    return judgement.reason is Reason.COMMON_MOVED and (judgement.change or 0.0) > 0


def _percent(change: float | None) -> str:
    return "?" if change is None else f"{100 * change:+.1f} %"
