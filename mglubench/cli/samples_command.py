"""``mglubench samples``: the samples of single cases, round by round."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from mglubench.cli import pictures
from mglubench.cli.options import WHOLE_NUMBERS, what


def samples(
    run: pictures.Run,
    variants: Annotated[str, what("Which. (default: the fastest MGLU and GLU)")] = "",
    nm: Annotated[str, what("Numbers of masks, such as 1,8. (default: all)", WHOLE_NUMBERS)] = "",
    out: pictures.Out = None,
) -> None:
    """Draw the samples of single cases by round and process: what an interval sums up."""
    from mglubench.cases.axes import AXES
    from mglubench.report.samples_plot import samples_plot

    names = [name.strip() for name in variants.split(",") if name.strip()]
    numbers = [int(AXES["nm"].parsed(number)) for number in nm.split(",") if number.strip()]
    pictures.draw(run, out, "samples", partial(samples_plot, variants=names, nms=numbers))
