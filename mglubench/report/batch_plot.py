"""A picture of what a batch costs: the speed-up over the fastest GLU against the number of tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mglubench.errors import UsageError
from mglubench.report.chart import key_by_nm, layers_of, line, panels, steps_of_two, title_of
from mglubench.report.looks import dashes_of, look_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAVING = ("vs_glu", "vs_glu_low", "vs_glu_high")


def saving_plot(frame: pd.DataFrame) -> Figure:
    """One panel per layer of a derived frame: every MGLU variant and nm over the batch, and the line where it vanishes.

    Raises:
        UsageError: no layer was measured at two batch sizes.
    """
    good = frame[(frame["status"] == "ok") & (frame["layer"] == "mglu") & frame["vs_glu"].notna()]
    groups = [found for found in layers_of(good) if found[1]["batch"].nunique() > 1] if len(good) else []
    if not groups:
        raise UsageError("this run has no layer with an MGLU, a GLU and two batch sizes; sweep with --batch 1,4,16")
    figure, axes = panels(groups, frame.attrs.get("run", {}), width=9.0, height=5.2)
    for panel, (setting, rows) in zip(axes, groups, strict=False):
        _panel(panel, rows)
        panel.set_title(title_of(frame, setting.title(but="batch"), setting.device), fontsize=10, loc="left")
    return figure


def _panel(panel: Axes, rows: pd.DataFrame) -> None:
    nms = sorted({int(nm) for nm in rows["nm"]})
    ends = []
    for (name, _), own in rows.sort_values("batch").groupby(["variant", "nm"], sort=False):
        plain, number = look_of(str(name), "mglu"), int(own["nm"].iloc[0])
        look = replace(plain, dashes=dashes_of(nms.index(number)))
        ends.append((line(panel, own, "batch", SAVING, look), str(name), plain, number))
    panel.axhline(1.0, color="0.3", linewidth=1.0)
    steps_of_two(panel, rows["batch"], "tokens")
    panel.set_ylabel("times as fast as the fastest GLU")
    panel.set_ylim(bottom=0.0)
    panel.spines[["top", "right"]].set_visible(False)
    key_by_nm(panel, ends, nms)
