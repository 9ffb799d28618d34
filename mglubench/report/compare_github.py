"""A comparison as annotations of GitHub Actions: a line for each thing that fails the job, a notice for the rest."""

from __future__ import annotations

from collections.abc import Iterator

from mglubench.report.compare_words import case_name, change_words, figure_name, verdict_line
from mglubench.results.judgement import FailOn, Judgement, Verdict, fails
from mglubench.results.run_comparison import Comparison
from mglubench.system.plain_text import plain

# GitHub shows ten annotations of a kind per step; the tenth says how many more there are.
MOST = 10
LONGEST = 1000


def comparison_annotations(comparison: Comparison, fail_on: frozenset[FailOn]) -> list[str]:
    """Lines of workflow commands: errors, then warnings for what failed less, then one notice with all counts."""
    found = comparison.worst_first()
    errors = [j for j in found if fails(j, fail_on)]
    warned = (Verdict.FAILED, Verdict.SLOWER, Verdict.WORSE, Verdict.MISSING, Verdict.INCOMPARABLE)
    warnings = [j for j in found if j.verdict in warned and j not in errors]
    return [
        *_lines("error", errors),
        *_lines("warning", warnings),
        _command("notice", "mglubench compare", verdict_line(comparison, fail_on)),
    ]


def _lines(kind: str, judgements: list[Judgement]) -> Iterator[str]:
    shown = judgements if len(judgements) <= MOST else judgements[: MOST - 1]
    for judgement in shown:
        title = f"{judgement.verdict.upper()}: {case_name(judgement)}, {figure_name(judgement)}"
        parts = [change_words(judgement), judgement.words, judgement.advice, judgement.key]
        yield _command(kind, title, "; ".join(filter(None, parts)))
    if len(judgements) > len(shown):
        yield _command(kind, "mglubench compare", f"{len(judgements) - len(shown)} more like these")


def _command(kind: str, title: str, message: str) -> str:
    """A workflow command; what would end one of its parts is written as GitHub wants it."""
    name = plain(title, LONGEST).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={name}::{plain(message, LONGEST).replace('%', '%25')}"
