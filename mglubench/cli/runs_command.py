"""``mglubench runs``: what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, console, print_json, print_tables
from mglubench.system.resources import RUNS_FOLDER


def runs(
    folder: Annotated[Path, typer.Argument(parser=options.path, help="Folder that holds run folders.")] = RUNS_FOLDER,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """List stored runs, oldest first."""
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.report.summary import runs_table
    from mglubench.results.store import list_runs

    table = runs_table(list_runs(folder))
    if form == "json":
        print_json(table.rows)
    elif table.rows:
        print_tables([table], form)
    else:
        console().print(f"no runs in {folder}; `mglubench sweep` makes one", markup=False)
