"""``mglubench roofline``: a run against what its device can give."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from mglubench.cli import pictures


def roofline(
    run: pictures.Run,
    out: pictures.Out = None,
    kind: Annotated[
        str, typer.Option(help="roofline: FLOP/s over FLOP per byte. bandwidth: time over bytes.")
    ] = "roofline",
) -> None:
    """Draw a run under its roofs: arithmetic intensity against FLOP/s, or bytes against time."""
    from mglubench.report.roofline import draw

    pictures.draw(run, out, kind, partial(draw, kind=kind))
