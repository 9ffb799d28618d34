"""The samples of single cases, by round: what moved between rounds, processes and copies is seen, not summed up."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from mglubench.cases.vocabulary import CEILINGS
from mglubench.errors import UsageError
from mglubench.measure.measurement import Round
from mglubench.report.chart import PANELS_MAX, key, panels, title_of
from mglubench.report.looks import COLOURS, Look
from mglubench.report.ticks import in_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a sample's place within its round may take of the round's width.
WIDTH = 0.7


def samples_plot(frame: pd.DataFrame, variants: Collection[str] = (), nms: Collection[int] = ()) -> Figure:
    """A panel per case of a frame with ``samples_ns``: samples and medians by round, the case's interval.

    Args:
        frame: a derived frame. variants, nms: which cases; by default the fastest MGLU and the fastest GLU.

    Raises:
        UsageError: no measured case is like that.
    """
    good = frame[(frame["status"] == "ok") & ~frame["layer"].isin(CEILINGS)]
    chosen = _chosen(good, variants, nms)
    if not len(chosen):
        raise UsageError("no measured case of this run has such a variant and nm; see mglubench report")
    cases = [(str(row["key"]), row) for row in chosen.to_dict("records")]
    figure, axes = panels(cases, frame.attrs.get("run", {}), width=9.0, height=2.8, what="cases")
    for panel, (name, row) in zip(axes, cases[:PANELS_MAX], strict=True):
        _panel(panel, list(row["samples_ns"]), list(row["rounds_of"]))
        low, high = float(row["latency_low_us"]), float(row["latency_high_us"])
        if low > 0 and high > 0:
            panel.axhspan(low, high, color="0.9", zorder=0)
        panel.axhline(row["latency_us"], color="0.4", linewidth=1.0, zorder=1)
        panel.set_title(title_of(frame, name, row["device"]), fontsize=9, loc="left")
    return figure


def _chosen(good: pd.DataFrame, variants: Collection[str], nms: Collection[int]) -> pd.DataFrame:
    if not variants and not nms:
        return good[good["layer"].isin(["mglu", "glu"])].sort_values("latency_us").drop_duplicates("layer")
    asked = good[good["variant"].isin(variants)] if variants else good
    # A layer without masks has no nm: it is asked for by name.
    return asked[asked["nm"].isin([*nms, *([0] if variants else [])])] if nms else asked


def _panel(panel: Axes, samples_ns: list[float], rounds: list[Round]) -> None:
    """A column of dots per round, coloured by process; a bar at the round's median."""
    kept = [turn for turn in rounds if turn.count] or [Round(0, 0, count=len(samples_ns))]
    start = 0
    for turn in kept:
        own = np.asarray(samples_ns[start : start + turn.count]) / 1e3
        start += turn.count
        colour = _colour(turn.process)
        within = turn.number + WIDTH * (np.arange(len(own)) + 0.5) / len(own) - WIDTH / 2
        panel.plot(within, own, ".", color=colour, markersize=4)
        panel.hlines(float(np.median(own)), turn.number - WIDTH / 2, turn.number + WIDTH / 2, color=colour)
    panel.set_xlabel("round; within it, samples in the order that they were taken in")
    panel.set_ylabel("latency")
    panel.yaxis.set_major_formatter(lambda value, _: in_words(value, "us"))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.spines[["top", "right"]].set_visible(False)
    processes = sorted({turn.process for turn in kept})
    key(panel, [(f"process {number + 1}", Look(number, _colour(number), ".", "-"), False) for number in processes])


def _colour(process: int) -> str:
    return COLOURS[process % len(COLOURS)]
