"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from mglubench.cli.help_pages import OUTPUT, WHAT

# Kinds of lists, as help types them.
WHOLE_NUMBERS, NUMBERS, WORDS = "INTEGER,...", "FLOAT,...", "TEXT,..."


def what(words: str, kind: str = WORDS) -> OptionInfo:
    """An option with a list of what to measure or look at, in the group of those."""
    option: OptionInfo = typer.Option(help=words, metavar=kind, rich_help_panel=WHAT)
    return option


def path(text: str | Path) -> Path:
    """A path that was given; an empty one would be the folder in which one happens to be.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not str(text):
        raise typer.BadParameter("the path is empty; give one, or leave the option out")
    return Path(text)


def out_file(text: str | Path) -> Path:
    """A file that is to be written: whoever cannot have it is told so before any work.

    Raises:
        typer.BadParameter: it is empty. UsageError: it cannot be written.
    """
    from mglubench.errors import UsageError
    from mglubench.system.files import why_not_publishable

    file = path(text)
    if why := why_not_publishable(file):
        raise UsageError(f"cannot write {file}: {why}")
    return file


def table_file(text: str | Path) -> Path:
    """A file that rows are to be written to; errors as :func:`out_file`, and of an ending that none of them has."""
    from mglubench.results.frame import refuse_other_endings

    file = path(text)
    refuse_other_endings(file)
    return out_file(file)


def run_folder(text: str | Path) -> Path:
    """A run's folder, or the newest run for ``last``.

    Raises:
        typer.BadParameter: it is empty. UsageError: there is no last run.
    """
    folder = path(text)
    if str(text) != "last" or folder.exists():
        return folder
    from mglubench.results.baselines import LAST, runs_of

    return runs_of(LAST)[-1]


def _know_plugins(given: list[str] | None) -> None:
    """Make the variants of files known to this process and to those that it starts."""
    if given:
        from mglubench.variants.plugins import FILES_VARIABLE, name_files

        os.environ[FILES_VARIABLE] = name_files(given)


Plugin = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        callback=_know_plugins,
        metavar="FILE.py",
        help="Also take the variants in FILE.py, or one: FILE.py:NAME; repeatable.",
    ),
]
RUN_HELP = "Run folder, or last: the newest below runs."
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=OUTPUT)]
Csv = Annotated[bool, typer.Option("--csv", help="Print one CSV row per case.", rich_help_panel=OUTPUT)]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print markdown tables.", rich_help_panel=OUTPUT)]
Wide = Annotated[
    bool, typer.Option("--wide", help="Show every column of tables, whatever the screen holds.", rich_help_panel=OUTPUT)
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        parser=out_file,
        help="Write one self-contained HTML page to this file; it is there whole or not at all.",
        rich_help_panel=OUTPUT,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite the page of --html if it is there.", rich_help_panel=OUTPUT)
]
OutJson = Annotated[
    Path | None,
    typer.Option(
        parser=out_file,
        help="Also write the JSON document to this file; it is there whole or not at all.",
        rich_help_panel=OUTPUT,
    ),
]

# Of a comparison, and of a gate, which tells one.
ForceComparison = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Compare other devices, drivers, clocks, threads or measuring rules too; replace output files.",
    ),
]
FailOn = Annotated[str, typer.Option(help="What fails: slower, missing, incomparable, unclear, or none.")]
Alarms = Annotated[
    float,
    typer.Option(help="Share of comparisons of identical code that may call anything slower, and as often faster."),
]
Margin = Annotated[float, typer.Option(help="Relative change up to which a figure is called the same.")]
Everything = Annotated[bool, typer.Option("--all", help="Show what is the same, too.")]
SummaryPage = Annotated[
    bool, typer.Option("--markdown", help="Print a page for a job summary.", rich_help_panel=OUTPUT)
]
Github = Annotated[bool, typer.Option("--github", help="Print annotations of GitHub Actions.", rich_help_panel=OUTPUT)]
OutMarkdown = Annotated[
    Path | None, typer.Option(parser=out_file, help="Also write the page to this file.", rich_help_panel=OUTPUT)
]
Junit = Annotated[
    Path | None, typer.Option(parser=out_file, help="Also write JUnit XML to this file.", rich_help_panel=OUTPUT)
]
OutPage = Annotated[
    Path | None, typer.Option("--html", parser=out_file, help="Also write one self-contained HTML page to this file.")
]
