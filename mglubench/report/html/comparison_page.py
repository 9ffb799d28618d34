"""The page of a comparison: its verdicts worst first, and the newest run of the new side with charts and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mglubench.report.html.answer import FASTER, OPEN, SLOWER
from mglubench.report.html.lead import Lead
from mglubench.report.html.page import name_of, render
from mglubench.report.html.record import Group, Record, record_of
from mglubench.report.repeat_tables import OVER
from mglubench.results.judgement import COMMON, LATENCY, Judgement, Verdict
from mglubench.results.rows import Plain
from mglubench.results.run_comparison import Comparison, Side

if TYPE_CHECKING:
    import pandas as pd

GAINS = (Verdict.FASTER, Verdict.BETTER)
LOSSES = (Verdict.SLOWER, Verdict.WORSE)


def comparison_page(comparison: Comparison, newest: pd.DataFrame | None = None) -> str:
    """One HTML document of a comparison.

    Args:
        newest: a run of the new side, derived and with samples, whose charts and tables stand below the verdicts.
    """
    lead = _lead(comparison)
    return render(
        title=f"{comparison.new.name} against {comparison.base.name}: {lead.sentence}",
        subtitle=f"{comparison.new.name} against {comparison.base.name}",
        warnings=list(_warnings(comparison)),
        lead=lead,
        frame=newest,
        records=[_sides(comparison), *([record_of("Environment", newest)] if newest is not None else [])],
        comparison={"rows": [judged_row(judgement) for judgement in comparison.worst_first()]},
        said=_said(comparison),
        run_title=f"The run {name_of(newest.attrs['run'])} of the new side" if newest is not None else "",
    )


def judged_row(judgement: Judgement) -> dict[str, Plain]:
    """One verdict for the page's scripts; what is of no case has an empty variant."""
    case = judgement.case
    axes: dict[str, Plain] = dict(case.to_dict()) if case else {"variant": "", "nm": 0}
    return {
        **axes,
        "shape": f"{case.h}x{case.d}" if case else "",
        "key": judgement.key,
        "what": judgement.what,
        "figure": figure_name(judgement),
        "verdict": judgement.verdict.value,
        "reason": judgement.reason.value,
        "words": judgement.words,
        "advice": judgement.advice,
        "counts": judgement.counts,
        "defect": judgement.defect,
        "runs": [judgement.base_runs, judgement.new_runs],
        **{name: _finite(getattr(judgement, name)) for name in ("base", "new", "change", "low", "high", "visible")},
    }


def figure_name(judgement: Judgement) -> str:
    """What a judgement is about, in words."""
    if judgement.what == COMMON:
        return "what all cases have in common"
    if judgement.what in OVER:
        name = OVER[judgement.what].replace(" us", "")
        return f"{name} ({judgement.over})" if judgement.over else name
    return judgement.what.replace("_", " ")


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.7g}")


def _lead(comparison: Comparison) -> Lead:
    judged = comparison.all
    regressions = [judgement for judgement in judged if judgement.regression]
    gains = [judgement for judgement in judged if judgement.verdict in GAINS]
    counts = ", ".join(f"{count} {verdict.value}" for verdict, count in comparison.counts().items())
    moved = sum(judgement.verdict in LOSSES and not judgement.counts for judgement in judged)
    by_baseline = f" {moved} of the slower are ratios whose baseline got faster." if moved else ""
    worst = _worst(regressions) if regressions else None
    return Lead(
        sentence=_sentence(comparison, regressions, gains),
        figure=_percent(worst.change) if worst and worst.change is not None else "",
        interval=_interval(worst) if worst else "",
        verdict=SLOWER if regressions or any(j.defect for j in judged) else FASTER if gains else OPEN,
        facts=[f"{counts[0].upper()}{counts[1:]}.{by_baseline}", f"{comparison.spread}."],
        limits=_limits(comparison),
        forest="Changes of times and ratios, worst first" if any(j.low is not None for j in judged) else "",
    )


def _sentence(comparison: Comparison, regressions: Sequence[Judgement], gains: Sequence[Judgement]) -> str:
    defects = len({judgement.key for judgement in comparison.all if judgement.defect})
    found = [f"{defects} case{'s are' if defects != 1 else ' is'} defective"] if defects else []
    if regressions:
        worst = _worst(regressions)
        name = _case_name(worst)
        found.append(
            f"{len(regressions)} of {len(comparison.all)} figures got slower or worse, "
            f"most of all {name}: {figure_name(worst)}"
        )
    elif gains:
        found.append(f"nothing got slower; {len(gains)} of {len(comparison.all)} figures got faster or better")
    else:
        found.append("nothing got slower, as far as these runs can tell")
    words = "; ".join(found)
    return f"{words[0].upper()}{words[1:]}."


def _worst(regressions: Sequence[Judgement]) -> Judgement:
    """The largest; of a latency where one is slower, since ratios follow it."""
    return max(regressions, key=lambda judgement: (judgement.what == LATENCY, judgement.size))


def _case_name(judgement: Judgement) -> str:
    case = judgement.case
    if case is None:
        return judgement.key
    return f"{case.variant} nm={case.nm}" if case.nm else case.variant


def _interval(judgement: Judgement) -> str:
    if judgement.low is None or judgement.high is None:
        return ""
    high = _percent(judgement.high) if math.isfinite(judgement.high) else "any"
    return f"95 % interval {_percent(judgement.low)} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:+,.1f} %".replace("-", "−")


def _limits(comparison: Comparison) -> list[str]:
    found = [
        f"Of comparisons of identical code, {comparison.alarms:.0%} may call any of their {comparison.figures} figures "
        f"slower or faster; a change up to {comparison.margin:.0%} counts as the same."
    ]
    found += [f"{judgement.key}, all cases together: {judgement.words}." for judgement in comparison.common]
    return [*found, *(f"Conditions differ: {difference.words}." for difference in comparison.differences)]


def _warnings(comparison: Comparison) -> Iterator[str]:
    if comparison.fake:
        yield "Fake runs: these figures come from the fake executor, nothing was measured."
    if comparison.forced:
        yield "Forced: figures were compared in spite of conditions that differ."


def _said(comparison: Comparison) -> list[str]:
    return [
        "Before, now: medians over the runs of a side. Change: now over before less 1; "
        "of a latency more is slower, of a ratio more is faster.",
        "Could see: the smallest change that this comparison finds in four of five cases.",
    ]


def _sides(comparison: Comparison) -> Record:
    groups = [
        group for side, word in ((comparison.base, "Before"), (comparison.new, "Now")) for group in _runs(side, word)
    ]
    return Record("What was compared", [difference.words for difference in comparison.differences], groups)


def _runs(side: Side, word: str) -> Iterator[Group]:
    for run in side.runs:
        facts = {
            "run": run.folder,
            "begun (UTC)": run.time[:19].replace("T", " "),
            "commit": run.commit,
            "mglubench": run.version,
            **run.devices,
        }
        yield Group(f"{word}: {side.name}", [(name, value) for name, value in facts.items() if value])
