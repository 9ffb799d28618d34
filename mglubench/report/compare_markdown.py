"""A comparison as markdown for a pull request or a job summary: the verdict, what to look at, all else folded."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.report.compare_tables import COLUMNS, judgement_row, setting_title
from mglubench.report.compare_words import heading_lines, verdict_line
from mglubench.report.render import escaped, to_markdown
from mglubench.report.table import Table, named, prose
from mglubench.results.judgement import FailOn, Judgement, Verdict
from mglubench.results.run_comparison import Comparison

# GitHub cuts a summary off at 1 MiB; more rows than that nobody reads.
MOST_FOLDED = 2000
_COLUMNS = (*COLUMNS[:-1], prose("words", "why"), prose("advice"))


def comparison_markdown(comparison: Comparison, fail_on: frozenset[FailOn]) -> str:
    """The page: verdict line, a table of what is not the same and not unclear, folded details, who was compared."""
    found = comparison.worst_first()
    open_ = [j for j in found if j.verdict not in (Verdict.SAME, Verdict.UNCLEAR)]
    parts = [f"**{escaped(verdict_line(comparison, fail_on))}**\n"]
    if open_:
        parts.append(_table("What changed, worst first", open_))
    for verdict, title in ((Verdict.UNCLEAR, "unclear"), (Verdict.SAME, "the same")):
        own = [j for j in found if j.verdict is verdict]
        if own:
            parts.append(_folded(f"{len(own)} {title}", _table("", own[:MOST_FOLDED])))
    told = "\n".join(f"- {escaped(line)}" for line in heading_lines(comparison))
    parts.append(_folded("what was compared, and by which rule", told + "\n"))
    return "\n".join(parts)


def _table(title: str, judgements: Sequence[Judgement]) -> str:
    settings = dict.fromkeys(map(setting_title, judgements))
    several = len(settings) > 1
    columns = (named("setting"), *_COLUMNS) if several else _COLUMNS
    rows = [{**judgement_row(j), "setting": setting_title(j)} for j in judgements]
    notes = [] if several else list(settings)
    shown = to_markdown(Table(title, columns, rows, notes, best="bad"))
    return shown if title else shown.partition("\n\n")[2]


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{escaped(summary)}</summary>\n\n{content}\n</details>\n"
