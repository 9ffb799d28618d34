"""The page of a run: what its template needs, and the whole as one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.report.html.answer import answers
from mglubench.report.html.inline import ASSETS, LICENCES, STYLE, asset, embedded_json, policy, scripts
from mglubench.report.html.lead import Lead, lead_of
from mglubench.report.html.page_data import run_data
from mglubench.report.html.record import Record, record_of
from mglubench.report.table import Row
from mglubench.report.tables import fleet_notes, paper_tables
from mglubench.results.header import Header
from mglubench.results.rows import Plain

if TYPE_CHECKING:
    import pandas as pd

MOST_PAPER = 4


def run_page(frame: pd.DataFrame) -> str:
    """One HTML document of a run, of its derived frame that has the samples."""
    run: Header = frame.attrs["run"]
    rows = rows_of(frame)
    lead = lead_of(answers(rows))
    return render(
        title=f"{lead.figure} {lead.sentence}".strip() if lead.own else f"mglubench {name_of(run)}",
        subtitle=f"run {name_of(run)}, begun {run['environment']['time'][:16].replace('T', ' ')} UTC",
        warnings=warnings_of(run, rows),
        lead=lead,
        frame=frame,
        records=[record_of("Environment", frame)],
    )


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame as plain records."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def name_of(run: Header) -> str:
    """What a run is called: its folder's name."""
    return Path(run.get("folder", "")).name or run["name"]


def render(
    *,
    title: str,
    subtitle: str,
    warnings: Sequence[str],
    lead: Lead,
    frame: pd.DataFrame | None,
    records: Sequence[Record],
    comparison: Plain = None,
    said: Sequence[str] = (),
    run_title: str = "",
) -> str:
    """The whole document.

    Args:
        frame: of the run whose charts and tables it has, derived and with samples; ``None`` for a page without.
        comparison: verdicts, for the page's scripts. said: what holds for all of them. run_title: above the run's part.
    """
    statuses = set() if frame is None else set(frame["status"])
    data: dict[str, Plain] = {
        "run": None if frame is None else run_data(frame),
        "forest": lead.entries,
        "answer": {"own": lead.own, "base": lead.base} if lead.own else None,
        "comparison": comparison,
    }
    return _filled(
        data,
        title=title,
        subtitle=subtitle,
        warnings=warnings,
        answer=lead,
        comparison=list(said) if comparison else None,
        run_title=run_title,
        has_rows="ok" in statuses,
        has_failed=bool(statuses - {"ok"}),
        samples_words=samples_words(data["run"]),
        latency_notes=[*latency_notes(), *([] if frame is None else fleet_notes(frame))],
        paper=[] if frame is None else paper_tables(frame, MOST_PAPER),
        environments=records,
    )


def _filled(data: Mapping[str, Plain], **words: object) -> str:
    """The template with these words, which it escapes, and with the data and the scripts inline."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(ASSETS)
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    texts = scripts()
    return template.get_template("page.html.j2").render(
        **words,
        version=_version(),
        policy=policy(texts),
        style=Markup(asset(STYLE)),
        scripts=[Markup(text) for text in texts],
        licences=asset(LICENCES),
        data=embedded_json(dict(data)),
    )


def warnings_of(run: Header, rows: Sequence[Row]) -> list[str]:
    """What a reader must know before any figure: that nothing was measured, that something is missing or unsaved."""
    found = []
    if run.get("fake"):
        found.append("Fake run: these figures come from the fake executor, nothing was measured.")
    if len(rows) < run["cases"]:
        found.append(f"Unfinished: {len(rows)} of {run['cases']} planned cases are here.")
    failed = sum(row["status"] != "ok" for row in rows)
    if failed:
        found.append(f"{failed} of {len(rows)} cases have no figure; they are listed under Not measured.")
    git = run["environment"].get("git")
    if git and git["dirty"]:
        found.append(f"mglubench had changes that are in no commit (on top of {git['commit'][:10]}).")
    return found


def samples_words(data: Plain) -> str:
    """Which samples a page draws."""
    if not isinstance(data, Mapping):
        return ""
    how = "A short line is the median of its round."
    if data["all_samples"]:
        return f"Every sample that was kept, in the order in which it was taken. {how}"
    return (
        f"This run has {data['sample_count']:,} samples, too many for a page: of each round the least, the quartiles "
        f"and the largest are drawn. {how}"
    )


def latency_notes() -> list[str]:
    """What the columns of the latency table are."""
    return [
        "Latency: median over rounds of the rounds' medians. ± and [ ]: 95 % intervals from the spread between rounds, "
        "between copies of the layer and between processes; of ratios round by round.",
        "Bold: the fastest MGLU of each nm. Ratios are taken within a setting and never across settings.",
    ]


def _version() -> str:
    try:
        return version("mglubench")
    except PackageNotFoundError:
        return ""
