"""``mglubench plot``: a picture of a stored run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import console
from mglubench.errors import UsageError


def plot(
    run: Annotated[Path, typer.Argument(parser=options.path, help="Run folder.")],
    out: Annotated[Path, typer.Option(parser=options.path, help="Picture to write: .png, .svg or .pdf.")] = Path(
        "latency.png"
    ),
) -> None:
    """Draw a run: latency against the number of masks, the baselines, and what memory alone would take."""
    from mglubench.results.frame import load
    from mglubench.results.metrics import derive

    frame = derive(load(run, samples=True))
    try:
        from mglubench.report.plot import latency_plot, save

        save(latency_plot(frame), out)
    except ModuleNotFoundError as error:
        raise UsageError(f"plots need {error.name}; install mglubench[reports]") from None
    console(stderr=True).print(f"wrote {out}", markup=False)
