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

Run = Annotated[Path, typer.Argument(parser=options.path, help="Run folder.")]
Out = Annotated[Path | None, typer.Option(parser=options.path, help="Picture: .png, .svg or .pdf.")]


def draw(run: Path, out: Path | None, name: str, make: Callable[[pd.DataFrame], Figure]) -> None:
    """Load a run with its samples, draw it, write the picture and say where it is."""
    from mglubench.report.chart import save
    from mglubench.results.frame import load
    from mglubench.results.metrics import derive

    target = out or Path(f"{name}.png")
    save(make(derive(load(run, samples=True))), target)
    console(stderr=True).print(f"wrote {target}", markup=False)
