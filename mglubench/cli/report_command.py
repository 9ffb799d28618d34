"""``mglubench report``: a stored run, shown again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mglubench.cli import options
from mglubench.cli.output import (
    TABLES,
    WIDE,
    chosen_format,
    console,
    print_csv,
    print_json,
    print_tables,
    publish_page,
    refuse_existing,
)

# Beyond this many settings nobody reads tables; --all prints them, and --csv, --json and --export hold every row.
SETTINGS_SHOWN = 25


def report(
    run: Annotated[Path, typer.Argument(parser=options.run_folder, help=options.RUN_HELP)],
    export: Annotated[
        Path | None, typer.Option(parser=options.table_file, help="Also write all rows to this .parquet or .csv file.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Show all settings, not the first {SETTINGS_SHOWN}.")
    ] = False,
    html: options.Html = None,
    force: options.Force = False,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
) -> None:
    """Print the tables of a stored run again, or write them with charts as one HTML page."""
    form = chosen_format(as_json=as_json, as_csv=as_csv, as_markdown=as_markdown, wide=wide)
    if html is not None:
        write_page(run, html, force=force)
        # The page holds the tables; whoever asks for another format or file as well gets it.
        if form in (TABLES, WIDE) and export is None:
            return
    show_run(run, form, export=export, everything=everything)


def write_page(folder: Path, page: Path, *, force: bool) -> None:
    """The page of a run."""
    from mglubench.report.html.page import run_page
    from mglubench.results.load_run import load

    refuse_existing(page, force=force)
    publish_page(run_page(load(folder, samples=True)), page, force=force)


def show_run(
    folder: Path, form: str, *, footer: str = "", export: Path | None = None, everything: bool = False
) -> None:
    """Load a run, derive, and print it in the given format; tables for the first settings unless ``everything``."""
    from mglubench.report.paragraph import paragraph
    from mglubench.report.render import to_plain
    from mglubench.report.summary import heading
    from mglubench.report.tables import run_tables
    from mglubench.results.frame import export as export_frame
    from mglubench.results.frame import load_first
    from mglubench.results.load_run import load
    from mglubench.results.metrics import derive

    if form in (TABLES, WIDE, "markdown") and export is None and not everything:
        first, settings = load_first(folder, SETTINGS_SHOWN)
        frame = derive(first)
    else:
        frame, settings = load(folder, samples=True), 0
    rows = frame.drop(columns=["samples_ns", "rounds_of"], errors="ignore")
    if export is not None:
        export_frame(rows, export)
    if form == "csv":
        print_csv(rows)
        return
    tables = run_tables(frame)
    if form == "json":
        document: dict[str, Any] = {"run": frame.attrs["run"], "tables": [to_plain(table) for table in tables]}
        print_json({**document, "rows": rows.to_dict("records")})
        return
    print_tables(tables, form, heading=heading(frame), closing=paragraph(frame))
    if frame.empty:
        planned = frame.attrs["run"]["cases"]
        console(stderr=True).print(f"no case of {planned} is finished; continue with --resume", markup=False)
    if settings > SETTINGS_SHOWN:
        more = settings - SETTINGS_SHOWN
        console(stderr=True).print(f"\n{more} more settings: --all shows them, --csv has every row", markup=False)
    if footer:
        console(stderr=True).print(f"\n{footer}", markup=False)
