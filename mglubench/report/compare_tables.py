"""The tables of a comparison for a terminal: what is not the same, worst first; the rest is counted, or shown too."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.report.compare_words import case_name, change_words, figure_name, values_words, visible_words
from mglubench.report.table import Column, Table, named, prose, text
from mglubench.results.judgement import Judgement, Verdict
from mglubench.results.run_comparison import Comparison

COLUMNS = (
    named("verdict"),
    named("case"),
    named("figure"),
    Column("values", "before -> now", text("values"), spare=2),
    Column("change", "change", text("change"), spare=1),
    Column("visible", "sees", text("visible"), spare=7),
    prose("reason", spare=1),
)
# A list of everything is for --all and --json.
SHOWN = 40


def comparison_tables(comparison: Comparison, *, everything: bool = False) -> list[Table]:
    """A table for each setting, the settings by their worst verdict, with words and advice below it."""
    found = comparison.worst_first()
    kept = [j for j in found if everything or j.verdict is not Verdict.SAME]
    groups: dict[str, list[Judgement]] = {}
    for judgement in kept:
        groups.setdefault(setting_title(judgement), []).append(judgement)
    tables = [_table(title, own, everything) for title, own in groups.items()]
    same = len(found) - len(kept)
    if same and tables:
        notes = [*tables[-1].notes, f"{same} figures are the same (--all shows them)"]
        tables[-1] = Table(tables[-1].title, tables[-1].columns, tables[-1].rows, notes)
    return tables


def setting_title(judgement: Judgement) -> str:
    """The setting of a judgement's case; all of them together for what cases have in common."""
    return judgement.case.setting.title() if judgement.case is not None else "All cases together"


def judgement_row(judgement: Judgement) -> dict[str, object]:
    """A judgement as the cells of a table."""
    return {
        "verdict": judgement.verdict.upper(),
        "case": case_name(judgement),
        "figure": figure_name(judgement) + (" against the others" if judgement.against_others else ""),
        "values": values_words(judgement),
        "change": change_words(judgement),
        "visible": visible_words(judgement),
        "reason": judgement.reason.value,
        "words": judgement.words,
        "advice": judgement.advice,
        "status": "ok" if judgement.verdict is not Verdict.UNCLEAR else "unclear",
        "bad": judgement.regression or judgement.defect,
    }


def _table(title: str, judgements: Sequence[Judgement], everything: bool) -> Table:
    shown = judgements if everything else judgements[:SHOWN]
    notes: list[str] = []
    if len(judgements) > len(shown):
        notes.append(f"{len(judgements) - len(shown)} more, none of them worse; --all shows them")
    for judgement in shown:
        if judgement.verdict not in (Verdict.SAME, Verdict.UNCLEAR):
            notes.append(f"{case_name(judgement)}, {figure_name(judgement)}: {_sentence(judgement)}")
    # What is unclear is unclear for the same few reasons in most rows.
    unclear = [j for j in shown if j.verdict is Verdict.UNCLEAR]
    for reason in dict.fromkeys(j.reason for j in unclear):
        own = [j for j in unclear if j.reason is reason]
        notes.append(f"{reason.value}, {len(own)} of them, such as {case_name(own[0])}: {_sentence(own[0])}")
    return Table(title, COLUMNS, [judgement_row(j) for j in shown], notes, best="bad")


def _sentence(judgement: Judgement) -> str:
    return f"{judgement.words}; {judgement.advice}" if judgement.advice else judgement.words
