"""Which cases both sides have, and what is to be said of those that one side lacks or that must not be compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from mglubench.cases.axes import AXES
from mglubench.cases.case import Case
from mglubench.results.figure_samples import Pair
from mglubench.results.judgement import LATENCY, Judgement, Reason, Verdict
from mglubench.results.run_comparison import Difference
from mglubench.results.run_figures import CaseFigures, RunFigures
from mglubench.status import Status

ALIKE = "measure both sides alike, or look all the same with --force"
# Axes in which a case of the other side may differ and still be the one that is missing here.
_TWINS = {"dtype": Reason.OTHER_DTYPE, "device": Reason.OTHER_DEVICE}
_NUMBER = re.compile(r"\d[\d.]*")
# Where a run found the cores is told with how samples were taken, and is no part of it.
_PLACE = re.compile(r"(^|; )cores [^;]* apart[^;]*")


def pair_cases(
    base: Sequence[RunFigures], new: Sequence[RunFigures], differences: Iterable[Difference], force: bool
) -> tuple[dict[str, Pair], dict[str, Judgement]]:
    """Cases that can be compared, by their key, and a judgement of each that cannot, in the order of the runs."""
    forbidding = () if force else tuple(d for d in differences if d.reason is not None)
    keys = list(dict.fromkeys(key for run in (*base, *new) for key in run.cases))
    pairs: dict[str, Pair] = {}
    judged: dict[str, Judgement] = {}
    for key in keys:
        before, now = ([run.cases.get(key) for run in side] for side in (base, new))
        found = _of(now) or _of(before)
        if found is None or not (_count(before) or _count(now) or found.status.defect):
            continue
        if not _count(before) or _of(now) is not found or found.status != Status.OK:
            judged[key] = _one_side(key, found, before, now)
        elif other := _forbidden(found, forbidding) or (None if force else _other_way(before, now)):
            reason = other.reason or Reason.OTHER_MEASURING
            bare = _bare(key, found.case, Verdict.INCOMPARABLE, reason, other.words, ALIKE)
            judged[key] = replace(bare, base_runs=_count(before), new_runs=_count(now))
        else:
            pairs[key] = Pair(found.case, before, now)
    return pairs, _twins(judged, force, pairs, base, new)


def _one_side(
    key: str, found: CaseFigures, before: Sequence[CaseFigures | None], now: Sequence[CaseFigures | None]
) -> Judgement:
    """The judgement of a case that did not run on both sides."""
    was, last = _of(before), _of(now)
    judged = _judged_alone(key, found, was, last)
    return replace(judged, base_runs=_count(before), new_runs=_count(now))


def _judged_alone(key: str, found: CaseFigures, was: CaseFigures | None, last: CaseFigures | None) -> Judgement:
    case, ran = found.case, was is not None and was.status == Status.OK
    if last is None:
        words, advice = "the base has it, the new runs do not", "sweep it again, or take a new baseline on purpose"
        return _bare(key, case, Verdict.MISSING, Reason.NOT_IN_NEW, words, advice)
    if last.status == Status.OK:
        if was is None:
            return _bare(key, case, Verdict.NEW, Reason.ONLY_NEW, "the base does not have it")
        words = f"it runs now; before it did not: {was.status}, {was.reason}"
        return _bare(key, case, Verdict.NEW, Reason.FAILED_BEFORE, words)
    words = f"{last.status}: {last.reason}"
    if last.status.absent:
        return _bare(key, case, Verdict.MISSING, Reason.ABSENT_NOW, words, "`mglubench doctor` says more")
    reason = Reason.FAILS_NOW if ran or was is None else Reason.FAILS_STILL
    advice = f"`mglubench verify --variants {case.variant}` says more" if last.status.defect else ""
    return replace(_bare(key, case, Verdict.FAILED, reason, words, advice), defect=last.status.defect)


def _twins(
    judged: Mapping[str, Judgement],
    force: bool,
    pairs: dict[str, Pair],
    base: Sequence[RunFigures],
    new: Sequence[RunFigures],
) -> dict[str, Judgement]:
    """A case that is missing under one dtype or device and new under another is one case, which cannot be compared."""
    out = dict(judged)
    for key, judgement in judged.items():
        if judgement.reason is not Reason.NOT_IN_NEW or judgement.case is None:
            continue
        fresh = {k: j.case for k, j in out.items() if j.reason is Reason.ONLY_NEW and j.case is not None}
        for axis, reason in _TWINS.items():
            twin = _twin(judgement.case, axis, fresh)
            if twin is None:
                continue
            del out[twin]
            if force:
                del out[key]
                pairs[key] = Pair(judgement.case, [r.cases.get(key) for r in base], [r.cases.get(twin) for r in new])
            else:
                words = f"{axis} {judgement.case.value(axis)} before, {fresh[twin].value(axis)} now"
                out[key] = _bare(key, judgement.case, Verdict.INCOMPARABLE, reason, words, ALIKE)
            break
    return out


def _twin(case: Case, axis: str, others: Mapping[str, Case]) -> str | None:
    """The key of a case that differs from this one in one axis alone."""
    same = [name for name in AXES if name != axis]
    return next((key for key, other in others.items() if all(other.value(n) == case.value(n) for n in same)), None)


def _forbidden(found: CaseFigures, differences: Sequence[Difference]) -> Difference | None:
    return next((d for d in differences if d.device in ("", found.case.device)), None)


def _other_way(before: Sequence[CaseFigures | None], now: Sequence[CaseFigures | None]) -> Difference | None:
    """Samples that were taken in another way, whatever numbers stand in the words for it, or by another device."""
    for what, reason, told in _OF_CASES:
        was, now_is = (
            list(dict.fromkeys(told(run) for run in side if run is not None and run.status == Status.OK))
            for side in (before, now)
        )
        # A run of no fleet says in its header what its device is.
        if (was != now_is or len(was) > 1) and (reason is not Reason.OTHER_DEVICE or (all(was) and all(now_is))):
            return Difference(what, " and ".join(was), " and ".join(now_is), reason)
    return None


def _way(run: CaseFigures) -> str:
    return _NUMBER.sub("N", _PLACE.sub("", run.timer))


# In what the same case of two sides may differ by itself, and how it is told.
_OF_CASES: tuple[tuple[str, Reason, Callable[[CaseFigures], str]], ...] = (
    ("how samples were taken", Reason.OTHER_MEASURING, _way),
    ("the device that measured it", Reason.OTHER_DEVICE, lambda run: run.worker),
)


def _bare(key: str, case: Case, verdict: Verdict, reason: Reason, words: str, advice: str = "") -> Judgement:
    """A judgement without figures."""
    return Judgement(what=LATENCY, key=key, case=case, verdict=verdict, reason=reason, words=words, advice=advice)


def _of(side: Sequence[CaseFigures | None]) -> CaseFigures | None:
    """What a side says of a case: a defect in any of its runs, else a run that measured it, else the last word."""
    told = [run for run in side if run is not None]
    defects = [run for run in told if run.status.defect]
    return next(iter(defects or [run for run in told if run.status == Status.OK] or told[::-1]), None)


def _count(side: Sequence[CaseFigures | None]) -> int:
    return sum(run is not None and run.status == Status.OK for run in side)
