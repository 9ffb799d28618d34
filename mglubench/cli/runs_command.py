"""``mglubench runs``: what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import console, print_json, print_tables
from mglubench.system.resources import RUNS_FOLDER


def runs(
    folder: Annotated[Path, typer.Argument(parser=options.path, help="Folder that holds run folders.")] = RUNS_FOLDER,
    as_json: options.Json = False,
) -> None:
    """List stored runs, oldest first."""
    from mglubench.report.summary import runs_table
    from mglubench.results.store import list_runs

    table = runs_table(list_runs(folder))
    if as_json:
        print_json(table.rows)
    elif table.rows:
        print_tables([table], "rich")
    else:
        console().print(f"no runs in {folder}; `mglubench sweep` makes one", markup=False)
