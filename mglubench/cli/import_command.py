"""``mglubench import``: a profiler's report that was taken by hand, beside the times of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format
from mglubench.cli.profile_command import show_counters


def import_report(
    report: Annotated[
        Path, typer.Argument(parser=options.path, help="What ncu or nsys saved: .ncu-rep, .csv or .sqlite.")
    ],
    run: Annotated[Path, typer.Option(parser=options.run_folder, help="Run folder that it belongs to, or last.")],
    launches: Annotated[
        int | None, typer.Option(min=1, help="Launches of each case in the report. (default: 1)")
    ] = None,
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
) -> int:
    """Join a report that was taken by hand to a run, by case key; needs no GPU, and neither ncu nor nsys."""
    from mglubench.results.store import RunStore
    from mglubench.runner.profile import exit_code, import_profile

    form = chosen_format(as_json=as_json, as_markdown=as_markdown, wide=wide)
    with RunStore.resume(run) as store:
        rows = import_profile(store, report, launches=launches)
    show_counters(rows, rows[0].tool, form, run)
    return exit_code(rows)
