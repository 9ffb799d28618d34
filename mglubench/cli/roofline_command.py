"""``mglubench roofline``: a run against what its device can give."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import console
from mglubench.errors import UsageError


def roofline(
    run: Annotated[Path, typer.Argument(parser=options.path, help="Run folder.")],
    out: Annotated[
        Path | None, typer.Option(parser=options.path, help="Picture: .png, .svg or .pdf. (default: KIND.png)")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="roofline: FLOP/s over FLOP per byte. bandwidth: time over bytes.")
    ] = "roofline",
) -> None:
    """Draw a run under its roofs: arithmetic intensity against FLOP/s, or bytes against time."""
    from mglubench.results.frame import load

    frame = load(run)
    try:
        from mglubench.report.chart import save
        from mglubench.report.roofline import draw

        target = out or Path(f"{kind}.png")
        save(draw(frame, kind), target)
    except ModuleNotFoundError as error:
        raise UsageError(f"charts need {error.name}; install mglubench[reports]") from None
    console(stderr=True).print(f"wrote {target}", markup=False)
