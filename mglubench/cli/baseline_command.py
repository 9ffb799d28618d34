"""``mglubench baseline``: runs under a name, for comparisons to come."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.help_pages import GroupedCommand
from mglubench.cli.output import chosen_format, console, print_json, print_tables, say

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        parser=options.path,
        help="Folder of the baselines. (default: MGLUBENCH_BASELINES, or baselines)",
    ),
]

baseline = typer.Typer(
    name="baseline",
    help="Keep runs under a name, in a plain folder, for `compare` and `gate`.",
    rich_markup_mode=None,
    # An error of its commands is one line, like everybody's.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def save(
    name: Annotated[str, typer.Argument(help="Name of the baseline, such as main or a commit.")],
    runs: Annotated[list[str], typer.Argument(help="Run folders, or folders of repeats; several runs know more.")],
    folder: Folder = None,
    commit: Annotated[str, typer.Option(help="What the runs measured. (default: the commit in the runs)")] = "",
    note: Annotated[str, typer.Option(help="A line for whoever lists it.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a baseline of this name.")] = False,
) -> int:
    """Copy runs (environment, rows with all samples, counters) into the folder of a baseline."""
    from mglubench.results.baselines import runs_of
    from mglubench.results.save_baseline import save_baseline

    found = [run for given in runs for run in runs_of(given, folder)]
    saved = save_baseline(name, found, folder, commit=commit, note=note, force=force)
    count = len(saved.runs)
    say(f"{saved.folder}: {count} run{'s' * (count != 1)}, {sum(run.rows for run in saved.manifest.runs)} cases")
    for run in saved.manifest.runs:
        if run.rows < run.planned:
            say(f"{saved.folder / run.folder}: {run.rows} of {run.planned} cases are finished")
    return 0


def list_all(folder: Folder = None, as_json: options.Json = False, wide: options.Wide = False) -> int:
    """List baselines, oldest first."""
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.report.baseline_tables import baselines_table
    from mglubench.results.baselines import baselines_folder, list_baselines

    where = folder or baselines_folder()
    found, damaged = list_baselines(where)
    table = baselines_table(found, damaged)
    if form == "json":
        print_json(table.rows)
    elif table.rows:
        print_tables([table], form)
    else:
        console().print(f"no baselines in {where}; `mglubench baseline save NAME RUN` makes one", markup=False)
    return 0


def show(
    name: Annotated[str, typer.Argument(help="Name of the baseline.")],
    folder: Folder = None,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> int:
    """The runs of a baseline, and what they measured: the median over runs of every latency."""
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.report.baseline_tables import baseline_heading, cases_table, runs_of_baseline_table
    from mglubench.results.baseline_latencies import latencies_of
    from mglubench.results.baselines import find_baseline

    found = find_baseline(name, folder)
    tables = [runs_of_baseline_table(found), cases_table(latencies_of(found))]
    if form == "json":
        runs, cases = (table.rows for table in tables)
        manifest = found.manifest
        print_json(
            {
                "name": found.name,
                "folder": str(found.folder),
                "saved": manifest.saved,
                "commit": manifest.commit,
                "note": manifest.note,
                "runs": list(runs),
                "cases": list(cases),
            }
        )
    else:
        print_tables(tables, form, heading=baseline_heading(found))
    return 0


for _name, _command in (("save", save), ("list", list_all), ("show", show)):
    # The whole line: what is derived from it would be cut at the width of the screen.
    baseline.command(_name, cls=GroupedCommand, short_help=_command.__doc__)(_command)
