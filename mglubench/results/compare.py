"""Two sides of stored runs, compared: read, paired, judged.

:func:`compare` is the public function; who has runs in hand already (a gate, a calibration) calls
:func:`compare_runs`. The rules are objects of their own: :mod:`~mglubench.results.between_runs` for what differs from
run to run, :mod:`~mglubench.results.exact` for what does not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from mglubench.errors import UsageError
from mglubench.results.between_runs import BetweenRuns, Change
from mglubench.results.conditions import differences
from mglubench.results.exact import rule_of
from mglubench.results.figure_samples import FigureSample, Level, Pair, Recall, figure_samples
from mglubench.results.judgement import COMMON, LATENCY, Judgement, Reason, Verdict
from mglubench.results.pairing import pair_cases
from mglubench.results.repeat_notebook import remembered
from mglubench.results.run_comparison import Comparison, Side
from mglubench.results.run_figures import FACTS, RunFigures, read_figures
from mglubench.results.wording import AGAIN_IN_TURNS, OWN_SHARE, Said, Wording
from mglubench.status import Status

Given = str | Path | Sequence[str | Path]
# A ratio's change is its baseline's if that moved by so much of it.
BASELINE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Rules:
    """What a comparison is judged by.

    Attributes:
        alarms: how often a comparison of identical code may call any figure slower, and as often faster.
        margin: relative change up to which figures are called the same. force: compare what must not be compared.
        recall: what repeats found of a device.
    """

    alarms: float = 0.05
    margin: float = 0.05
    force: bool = False
    recall: Recall = remembered

    def __post_init__(self) -> None:
        if not 1e-6 <= self.alarms <= 0.5:
            raise UsageError(f"alarms is {self.alarms:g}; give a share of clean jobs, 0.000001 to 0.5, such as 0.05")
        if not 0 < self.margin < 1:
            raise UsageError(f"margin is {self.margin:g}; give a relative change between 0 and 1, such as 0.05")


def compare(base: Given, new: Given, *, force: bool = False, alarms: float = 0.05, margin: float = 0.05) -> Comparison:
    """Compare stored runs: what is slower, faster, the same, unclear, missing or not comparable.

    Args:
        base, new: a run folder each, or several of the same sweep.
        force: compare runs of other devices, drivers, clocks, threads or measuring rules all the same.
        alarms: how often a comparison of identical code may call any of its figures slower, and as often faster.
        margin: relative change up to which a figure is called the same.

    Returns:
        A judgement of every latency, ratio and fact; its ``exit_code()`` is that of ``mglubench compare``.

    Raises:
        UsageError: no run there, a run on both sides or twice on one, or no case in common.
        StoreError: a run is damaged, or from a newer version.
    """
    sides = [_folders(given) for given in (base, new)]
    read = [read_figures(folders) for folders in sides]
    names = [", ".join(map(str, folders)) for folders in sides]
    return compare_runs(*read, names=(names[0], names[1]), rules=Rules(alarms, margin, force))


def compare_runs(
    base: Sequence[RunFigures],
    new: Sequence[RunFigures],
    *,
    names: tuple[str, str] = ("base", "new"),
    rules: Rules | None = None,
    suspects: Collection[str] = (),
) -> Comparison:
    """The same for runs that were read.

    Args:
        suspects: keys of cases that are measured again because they seem to have changed: what one of them does says
            nothing about the machine that another ran on.

    Raises:
        UsageError: a run is given twice, or no case is on both sides.
    """
    rules = rules or Rules()
    _refuse_doubles([*base, *new])
    different = differences(base, new)
    pairs, unpaired = pair_cases(base, new, different, rules.force)
    if not pairs and not any(_on_both(judgement) for judgement in unpaired.values()):
        raise UsageError(f"{names[0]} and {names[1]} have no case in common; `mglubench report` shows their cases")
    figures, levels = figure_samples(pairs, base, new, rules.recall, suspects) if pairs else ([], [])
    rule, wording = BetweenRuns(rules.alarms), Wording(rules.alarms, rules.margin)
    common = [_common(level, rule.alone(level.sample), wording) for level in levels]
    moved = {(level.device, level.mode): math.log1p(j.change or 0.0) for j, level in zip(common, levels, strict=True)}
    judged = _judged(figures, rule, wording, moved)
    for key, pair in pairs.items():
        judged.setdefault(key, []).extend(_facts(key, pair))
    keys = list(dict.fromkeys(key for run in (*base, *new) for key in run.cases))
    judged |= {key: [judgement] for key, judgement in unpaired.items()}
    ordered = [judgement for key in keys for judgement in judged.get(key, [])]
    return Comparison(
        Side(names[0], tuple(run.told() for run in base)),
        Side(names[1], tuple(run.told() for run in new)),
        tuple(ordered),
        tuple(common),
        tuple(different),
        rules.force and any(d.reason for d in different),
        len(figures),
        rules.alarms,
        rules.margin,
        _spread_words(base, new, rules.recall),
        any(run.fake for run in (*base, *new)),
    )


def _on_both(judgement: Judgement) -> bool:
    """Whether both sides have something to say of a case, comparable or not."""
    return judgement.reason not in (Reason.ONLY_NEW, Reason.NOT_IN_NEW)


def _judged(
    figures: Sequence[FigureSample],
    rule: BetweenRuns,
    wording: Wording,
    moved: Mapping[tuple[str, str], float],
) -> dict[str, list[Judgement]]:
    """Latencies and ratios, by case."""
    found: dict[str, list[Judgement]] = {}
    for figure, change in zip(figures, rule.judge([figure.judged for figure in figures]), strict=True):
        if figure.what == LATENCY:
            plain = rule.alone(figure.plain)
            cycles = None if figure.cycles is None else rule.alone(figure.cycles)
            level = moved.get((figure.case.device, figure.case.mode), 0.0)
            said = wording.of_latency(change, plain, cycles, level, figure.against_others, figure.alike)
        else:
            said = wording.of_ratio(change)
        found.setdefault(figure.key, []).append(_judgement(figure, change, said))
    latencies = [judgement for own in found.values() for judgement in own if judgement.what == LATENCY]
    by_name = {_name(judgement): judgement for judgement in latencies}
    return {
        key: [_beside_latency(_beside_baseline(judgement, by_name), by_name) for judgement in own]
        for key, own in found.items()
    }


def _judgement(figure: FigureSample, change: Change, said: Said) -> Judgement:
    low, high = change.interval()
    return Judgement(
        what=figure.what,
        key=figure.key,
        case=figure.case,
        verdict=said.verdict,
        reason=said.reason,
        words=said.words,
        advice=said.advice,
        base=median(figure.base),
        new=median(figure.new),
        change=_relative(change.size),
        low=_relative(low),
        high=_relative(high),
        visible=_relative(change.visible),
        base_runs=change.runs[0],
        new_runs=change.runs[1],
        over=", ".join(figure.over),
        against_others=figure.against_others,
    )


def _beside_baseline(judgement: Judgement, latencies: Mapping[tuple[object, ...], Judgement]) -> Judgement:
    """A ratio whose change is mostly its baseline's says so; a fall is then no regression of the case."""
    case = judgement.case
    if judgement.reason is not Reason.BEYOND_SPREAD or judgement.what == LATENCY or case is None:
        return judgement
    names = judgement.over.split(", ")
    bases = [
        latencies.get((case.setting, name, *group)) for name in names for group in ((case.nm, case.mask), (0, "none"))
    ]
    # Against its companions a baseline also seems to move where the case is one of them: its own verdict must say so.
    other = Verdict.FASTER if judgement.verdict is Verdict.SLOWER else Verdict.SLOWER
    moved = next((base for base in bases if base is not None and base.verdict is other), None)
    whole = math.log1p(judgement.change or 0.0)
    if moved is None or math.log1p(moved.change or 0.0) / whole < BASELINE_SHARE:
        return judgement
    words = f"{judgement.words}; it is the baseline, {judgement.over}, that moved by {moved.change or 0.0:+.1%}"
    return replace(judgement, reason=Reason.BASELINE_MOVED, words=words, counts=False, advice="")


def _beside_latency(judgement: Judgement, latencies: Mapping[tuple[object, ...], Judgement]) -> Judgement:
    """A ratio has changed only if its case has: one whose latency hardly moved against the others is unclear."""
    own = latencies.get(_name(judgement))
    if judgement.reason is not Reason.BEYOND_SPREAD or judgement.what == LATENCY or own is None:
        return judgement
    ratio, latency = (math.log1p(found.change or 0.0) for found in (judgement, own))
    if not own.against_others or -latency * math.copysign(1.0, ratio) >= OWN_SHARE * abs(ratio):
        return judgement
    words = f"moved by {math.expm1(ratio):+.1%} over {judgement.over}, but its latency against the others by "
    return replace(
        judgement,
        verdict=Verdict.UNCLEAR,
        reason=Reason.ONLY_AGAINST_OTHERS,
        words=f"{words}{math.expm1(latency):+.1%}",
        advice=AGAIN_IN_TURNS,
    )


def _name(judgement: Judgement) -> tuple[object, ...]:
    case = judgement.case
    return () if case is None else (case.setting, case.variant, case.nm, case.mask)


def _common(level: Level, change: Change, wording: Wording) -> Judgement:
    said = wording.of_level(change)
    low, high = change.interval()
    return Judgement(
        what=COMMON,
        key=f"{level.device}, {level.mode}",
        verdict=said.verdict,
        reason=said.reason,
        words=said.words,
        advice=said.advice,
        change=_relative(change.size),
        low=_relative(low),
        high=_relative(high),
        visible=_relative(change.visible),
        base_runs=change.runs[0],
        new_runs=change.runs[1],
    )


def _facts(key: str, pair: Pair) -> Iterator[Judgement]:
    """What changed of a case's facts, and what counters and errors are the same all the same."""
    for fact in FACTS:
        before, now = (
            [run.facts[fact] for run in side if run is not None and run.status == Status.OK and fact in run.facts]
            for side in (pair.base, pair.new)
        )
        if not before or not now:
            continue
        verdict, reason = rule_of(fact).judge(before, now)
        old, new = median(before), median(now)
        change = new / old - 1 if old else (0.0 if new == old else math.inf)
        yield Judgement(
            what=fact,
            key=key,
            case=pair.case,
            verdict=verdict,
            reason=reason,
            words=_fact_words(reason, old, new),
            base=old,
            new=new,
            change=change,
            base_runs=len(before),
            new_runs=len(now),
        )


def _fact_words(reason: Reason, old: float, new: float) -> str:
    if reason is Reason.EQUAL:
        return "the same"
    told = f"{old:,.6g} before, {new:,.6g} now"
    return f"{told}: not more than such a figure moves" if reason is Reason.WITHIN_TOLERANCE else told


def _spread_words(base: Sequence[RunFigures], new: Sequence[RunFigures], recall: Recall) -> str:
    """How it is known how far runs differ."""
    names = dict.fromkeys(device.name for run in (*base, *new) if not run.fake for device in run.devices.values())
    known = [found.words() for name in names if name and (found := recall(name))]
    counts = f"{len(base)} run{'s' * (len(base) != 1)} before, {len(new)} now"
    if known:
        return f"{counts}; repeats: {'; '.join(known)}"
    if len(base) + len(new) > 2:
        return f"{counts}; how far runs differ is taken from these alone (`mglubench repeat` knows more)"
    return f"{counts}; how far runs differ is not known (`mglubench repeat` would find out)"


def _folders(given: Given) -> list[Path]:
    folders = [Path(given)] if isinstance(given, str | Path) else [Path(folder) for folder in given]
    if not folders:
        raise UsageError("no run given on one side; name a run folder")
    return folders


def _refuse_doubles(runs: Sequence[RunFigures]) -> None:
    seen: set[Path] = set()
    for run in runs:
        path = Path(run.folder).resolve()
        if path in seen:
            raise UsageError(f"{run.folder} is given twice; a run says nothing about itself")
        seen.add(path)


def _relative(log: float) -> float:
    """A change on the logarithmic scale as a share; infinite beyond what a number can hold."""
    return math.expm1(log) if log < 700 else math.inf
