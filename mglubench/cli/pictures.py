"""What commands that draw share: options, and the way to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import console

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Run = Annotated[Path, typer.Argument(parser=options.run_folder, help=options.RUN_HELP)]
Out = Annotated[
    Path | None, typer.Option(parser=options.path, help="Picture, .png, .svg or .pdf. (default: in the run)")
]


def draw(run: Path, out: Path | None, name: str, make: Callable[[pd.DataFrame], Figure]) -> None:
    """Load a run with its samples, draw it, write the picture and say where it is, and whether one was there."""
    from mglubench.report.chart import save
    from mglubench.results.load_run import load

    target = out or run / f"{name}.png"
    picture = make(load(run, samples=True))
    word = "replaced" if target.exists() else "wrote"
    save(picture, target)
    console(stderr=True).print(f"{word} {target}", markup=False, soft_wrap=True)
