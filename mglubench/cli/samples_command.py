"""``mglubench samples``: the samples of single cases, round by round."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from mglubench.cli import pictures


def samples(
    run: pictures.Run,
    variants: Annotated[str, typer.Option(help="Which, by comma. (default: the fastest MGLU and GLU)")] = "",
    nm: Annotated[str, typer.Option(help="Numbers of masks, by comma.")] = "",
    out: pictures.Out = None,
) -> None:
    """Draw the samples of single cases by round and process: what an interval sums up."""
    from mglubench.cases.axes import AXES
    from mglubench.report.samples_plot import samples_plot

    names = [name.strip() for name in variants.split(",") if name.strip()]
    numbers = [int(AXES["nm"].parsed(number)) for number in nm.split(",") if number.strip()]
    pictures.draw(run, out, "samples", partial(samples_plot, variants=names, nms=numbers))
