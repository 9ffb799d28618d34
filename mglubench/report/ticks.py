"""Ticks of logarithmic axes: at least three with a label, also inside a decade, in units that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST, MOST = 3, 8
STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), tuple(range(1, 10)))
# What a picture is drawn in, and the units that its ticks are told in, the largest first.
UNITS = {
    "us": ((1e6, "s"), (1e3, "ms"), (1.0, "us"), (1e-3, "ns")),
    "MB": ((1e6, "TB"), (1e3, "GB"), (1.0, "MB"), (1e-3, "kB")),
    "GFLOP/s": ((1e6, "PFLOP/s"), (1e3, "TFLOP/s"), (1.0, "GFLOP/s"), (1e-3, "MFLOP/s")),
    "": ((1.0, ""),),
}


class ReadableLog(LogLocator):
    """Powers of ten where enough are in sight, else steps between them, else equal steps."""

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """The ticks from ``vmin`` to ``vmax``: three to eight, if there is a span."""
        for steps in STEPS:
            found = [
                tick for tick in LogLocator(subs=steps, numticks=MOST).tick_values(vmin, vmax) if vmin <= tick <= vmax
            ]
            if len(found) >= LEAST:
                return found
        return [tick for tick in MaxNLocator(5).tick_values(vmin, vmax) if vmin <= tick <= vmax]


def log_axis(panel: Axes, which: str, unit: str) -> None:
    """Make ``x`` or ``y`` of a panel logarithmic; its numbers are ``unit``, its ticks are told in what reads well."""
    getattr(panel, f"set_{which}scale")("log")
    axis = getattr(panel, f"{which}axis")
    axis.set_major_locator(ReadableLog())
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: in_words(value, unit)))


def in_words(value: float, unit: str) -> str:
    """``2.5 ms`` for 2500 us; nothing of anything is ``0``."""
    if not value:
        return "0"
    size, name = next((pair for pair in UNITS[unit] if value >= pair[0] * 0.9995), UNITS[unit][-1])
    return f"{np.format_float_positional(float(f'{value / size:.3g}'), trim='-')} {name}".rstrip()
