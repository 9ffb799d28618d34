"""``mglubench compare``: two sides of runs, and what is slower, faster, the same, unclear or missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, console, print_json, print_tables, publish_json, publish_page
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.results.judgement import FailOn
    from mglubench.results.run_comparison import Comparison

SIDES = 2


def compare(
    sides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BASE NEW", help="Each a run folder, a baseline, `last`, or several of them joined by commas."
        ),
    ] = None,
    force: options.ForceComparison = False,
    fail_on: options.FailOn = "slower,missing,incomparable",
    alarms: options.Alarms = 0.05,
    margin: options.Margin = 0.05,
    everything: options.Everything = False,
    as_json: options.Json = False,
    as_markdown: options.SummaryPage = False,
    as_github: options.Github = False,
    wide: options.Wide = False,
    out_json: options.OutJson = None,
    out_markdown: options.OutMarkdown = None,
    junit: options.Junit = None,
    html: options.OutPage = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Runs of identical code, against themselves: how often it alarms.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of --json and exit.")] = False,
) -> int:
    """Compare stored runs: faster, same, slower or unclear, by how far runs of the same code differ.

    Exit code: 0 good; 1 a case is defective; 2 bad input; 3 a regression; 4 something that is required is missing or
    cannot be compared. --fail-on chooses what counts; counts of findings never become an exit code.
    """
    given = sides or []
    form = chosen_format(as_json=as_json, as_markdown=as_markdown, as_github=as_github, wide=wide)
    if schema:
        from mglubench.report.compare_json import comparison_schema

        print_json(comparison_schema())
        return 0
    wanted = parse_fail_on(fail_on)
    for path in (out_json, out_markdown, junit, html):
        refuse_taken(path, force=force)
    if calibrate:
        if out_markdown or junit or html or as_github:
            raise UsageError("--calibrate prints tables, --json or --markdown; leave --github, --junit and files out")
        return _calibrate(given, alarms, margin, form, out_json)
    if len(given) != SIDES:
        raise UsageError(f"{len(given)} sides given; name a base and what is new, several runs a side with commas")
    comparison = _compared(given[0], given[1], force=force, alarms=alarms, margin=margin)
    show_comparison(comparison, wanted, form, everything=everything)
    publish_comparison(comparison, wanted, out_json=out_json, out_markdown=out_markdown, junit=junit, html=html)
    return comparison.exit_code(wanted)


def parse_fail_on(text: str) -> frozenset[FailOn]:
    """What a user asked to fail on; raises :class:`UsageError` for a word that is none."""
    from mglubench.cases.vocabulary import one_of
    from mglubench.results.judgement import FailOn

    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    if words == ["none"]:
        return frozenset()
    if not words:
        raise UsageError("--fail-on is empty; use none, or some of slower, missing, incomparable, unclear")
    return frozenset(FailOn(one_of(word, [known.value for known in FailOn], "word for --fail-on")) for word in words)


def refuse_taken(path: Path | None, *, force: bool) -> None:
    """Raise :class:`UsageError` where a file would be overwritten and may not be, or its folder is not there."""
    if path is None:
        return
    if path.is_dir() or (path.is_file() and not force):
        way = ", or --force to overwrite it" if path.is_file() else ""
        raise UsageError(f"{path} is there already; name another file{way}")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}")


def show_comparison(comparison: Comparison, fail_on: frozenset[FailOn], form: str, *, everything: bool = False) -> None:
    """Print a comparison: tables, ``json``, ``markdown`` or ``github``."""
    from mglubench.report.compare_words import heading_lines, verdict_line

    if form == "json":
        from mglubench.report.compare_json import comparison_json

        print_json(comparison_json(comparison, fail_on))
    elif form == "markdown":
        from mglubench.report.compare_markdown import comparison_markdown

        typer.echo(comparison_markdown(comparison, fail_on), nl=False)
    elif form == "github":
        from mglubench.report.compare_github import comparison_annotations

        for line in comparison_annotations(comparison, fail_on):
            typer.echo(line)
    else:
        from mglubench.report.compare_tables import comparison_tables

        tables = comparison_tables(comparison, everything=everything)
        print_tables(tables, form, heading=heading_lines(comparison))
        console().print(f"\n{verdict_line(comparison, fail_on)}", markup=False)


def publish_comparison(
    comparison: Comparison,
    fail_on: frozenset[FailOn],
    *,
    out_json: Path | None = None,
    out_markdown: Path | None = None,
    junit: Path | None = None,
    html: Path | None = None,
) -> None:
    """Write a comparison to files, each by a rename; raises :class:`UsageError` if one cannot be written."""
    from mglubench.report.compare_json import comparison_json
    from mglubench.report.compare_junit import comparison_junit
    from mglubench.report.compare_markdown import comparison_markdown

    publish_json(comparison_json(comparison, fail_on), out_json)
    _publish(out_markdown, comparison_markdown(comparison, fail_on))
    _publish(junit, comparison_junit(comparison, fail_on))
    if html is not None:
        write_comparison_page(comparison, html)


def write_comparison_page(comparison: Comparison, path: Path) -> None:
    """One page of a comparison, with the charts and tables of the newest run of its new side; what is there goes."""
    from mglubench.report.html.comparison_page import comparison_page
    from mglubench.results.load_run import load

    newest = load(comparison.new.runs[-1].folder, samples=True)
    publish_page(comparison_page(comparison, newest), path, force=True)


def _compared(base: str, new: str, *, force: bool, alarms: float, margin: float) -> Comparison:
    from mglubench.results.baselines import runs_of
    from mglubench.results.compare import Rules, compare_runs
    from mglubench.results.run_figures import read_figures

    rules = Rules(alarms, margin, force)
    folders = [runs_of(side) for side in (base, new)]
    read = [read_figures(side) for side in folders]
    return compare_runs(*read, names=(base, new), rules=rules)


def _calibrate(given: list[str], alarms: float, margin: float, form: str, out_json: Path | None) -> int:
    from mglubench.report.calibration_tables import calibration_json, calibration_tables
    from mglubench.results.baselines import runs_of
    from mglubench.results.calibrate import calibrate
    from mglubench.results.compare import Rules
    from mglubench.results.run_figures import read_figures

    if not given:
        raise UsageError("--calibrate needs runs of identical code; `mglubench repeat` makes some")
    folders = dict.fromkeys(folder for word in given for folder in runs_of(word))
    found = calibrate(read_figures(folders, samples=True), Rules(alarms, margin))
    if form == "json":
        print_json(calibration_json(found))
    else:
        print_tables(calibration_tables(found), form)
    publish_json(calibration_json(found), out_json)
    return 0


def _publish(path: Path | None, text: str) -> None:
    from mglubench.system.files import publish

    if path is None:
        return
    try:
        publish(path, text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
