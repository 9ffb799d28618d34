"""What every output format says of a comparison alike: names of figures, changes, the sentence at its head."""

from __future__ import annotations

import math

from mglubench.results.judgement import COMMON, EXIT_CODES, LATENCY, FailOn, Judgement, Verdict
from mglubench.results.run_comparison import Comparison, Side

NAMES = {
    LATENCY: "latency",
    COMMON: "all cases together",
    "vs_glu": "x fastest GLU",
    "vs_naive": "x naive",
    "vs_printed": "x Algorithm 2",
    "bytes_total": "bytes, total",
    "bytes_weights": "bytes, weights",
    "bytes_masks": "bytes, masks",
    "bytes_scratch": "bytes, scratch",
    "error_before": "error before",
    "error_after": "error after",
    "dram_bytes_read": "DRAM bytes read",
    "dram_bytes_written": "DRAM bytes written",
    "l2_bytes_read": "L2 bytes read",
    "l2_bytes_written": "L2 bytes written",
}


def figure_name(judgement: Judgement) -> str:
    """What a judgement is about, without its case."""
    return NAMES.get(judgement.what, judgement.what)


def case_name(judgement: Judgement) -> str:
    """A case in few words; its setting is told elsewhere."""
    case = judgement.case
    if case is None:
        return judgement.key
    return f"{case.variant} nm={case.nm}" if case.nm else case.variant


def change_words(judgement: Judgement) -> str:
    """The change with its interval, in per cent; empty where there is none."""
    if judgement.change is None:
        return ""
    change = f"{100 * judgement.change:+.1f} %" if math.isfinite(judgement.change) else "from 0"
    if judgement.low is None or judgement.high is None:
        return change
    high = f"{100 * judgement.high:+.1f}" if math.isfinite(judgement.high) else "?"
    return f"{change} [{100 * judgement.low:+.1f}, {high}]"


def values_words(judgement: Judgement) -> str:
    """The figure before and now."""
    shown = [_value(judgement.what, value) for value in (judgement.base, judgement.new)]
    return " -> ".join(shown) if any(shown) else ""


def visible_words(judgement: Judgement) -> str:
    """The smallest change that could have been seen."""
    if judgement.visible is None:
        return ""
    return f"{100 * judgement.visible:.1f} %" if judgement.visible < 10 else "nothing"


def verdict_line(comparison: Comparison, fail_on: frozenset[FailOn]) -> str:
    """Counts of verdicts, worst first, and what the exit code means."""
    counted = ", ".join(f"{count} {verdict}" for verdict, count in comparison.counts().items())
    code = comparison.exit_code(fail_on)
    return f"{counted or 'nothing to compare'}; exit code {code}: {EXIT_CODES[code]}"


def heading_lines(comparison: Comparison) -> list[str]:
    """Who was compared, under which rule, and in what the conditions differ."""
    lines = ["FAKE RUNS: these figures come from the fake executor, nothing was measured"] if comparison.fake else []
    lines += [f"base: {_side(comparison.base)}", f"new: {_side(comparison.new)}"]
    lines.append(
        f"rule: of {comparison.figures} figures any is called slower in at most {comparison.alarms:.0%} of comparisons "
        f"of identical code, and as often faster; within {comparison.margin:.0%} is the same"
    )
    lines.append(f"spread: {comparison.spread}")
    forced = "compared all the same (--force), " if comparison.forced else ""
    for difference in comparison.differences:
        lines.append(f"{forced if difference.reason else ''}differs: {difference.words}")
    return lines


def bad(verdict: Verdict) -> bool:
    """Whether a verdict is one to look at first."""
    return verdict.rank <= Verdict.INCOMPARABLE.rank


def _side(side: Side) -> str:
    commits = ", ".join(dict.fromkeys(run.commit[:10] for run in side.runs if run.commit))
    count = len(side.runs)
    first = side.runs[0].time[:16].replace("T", " ") if side.runs else ""
    return f"{side.name} ({count} run{'s' * (count != 1)}, {first}{f', commit {commits}' if commits else ''})"


def _value(what: str, value: float | None) -> str:
    if value is None:
        return ""
    if what == LATENCY:
        return f"{value:,.1f} us"
    if what.startswith("vs_"):
        return f"{value:.3g} x"
    return f"{value:.3e}" if what.startswith("error_") else f"{value:,.0f}"
