"""A picture of what a batch costs: the speed-up over the fastest GLU against the number of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.errors import UsageError
from mglubench.report.chart import colours_of, label_ends, panels, setting_of
from mglubench.results.metrics import SETTING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYER = [name for name in SETTING if name != "batch"]
DASHES = ("-", "--", ":", "-.")


def saving_plot(frame: pd.DataFrame) -> Figure:
    """One panel per layer of a derived frame: every MGLU variant and nm over the batch, and the line where it vanishes.

    Raises:
        UsageError: no layer was measured at two batch sizes.
    """
    good = frame[(frame["status"] == "ok") & (frame["layer"] == "mglu") & frame["vs_glu"].notna()]
    groups = [(setting_of(rows), rows) for _, rows in good.groupby(LAYER, sort=False) if rows["batch"].nunique() > 1]
    if not groups:
        raise UsageError("this run has no layer with an MGLU, a GLU and two batch sizes")
    figure, axes = panels(groups, frame.attrs.get("run", {}), width=9.0, height=5.2)
    colours = colours_of(good)
    for panel, (setting, rows) in zip(axes, groups, strict=False):
        _panel(panel, rows, colours)
        panel.set_title(
            f"h={setting.h} d={setting.d}, {setting.dtype}, {setting.mode} on {setting.device}", fontsize=10
        )
    return figure


def _panel(panel: Axes, rows: pd.DataFrame, colours: dict[str, str]) -> None:
    nms = sorted(set(rows["nm"]))
    ends: list[tuple[float, str, str]] = []
    for (name, nm), line in rows.sort_values("batch").groupby(["variant", "nm"], sort=False):
        values = line["vs_glu"]
        # An interval of few samples may lie to one side of the ratio.
        errors = [(values - line["vs_glu_low"]).clip(lower=0), (line["vs_glu_high"] - values).clip(lower=0)]
        dash = DASHES[nms.index(nm) % len(DASHES)]
        colour = colours[str(name)]
        panel.errorbar(line["batch"], values, yerr=errors, color=colour, linestyle=dash, marker="o", markersize=4)
        ends.append((float(values.iloc[-1]), f"{name}, nm={nm}", colour))
    panel.axhline(1.0, color="0.3", linewidth=1.0)
    panel.set_xscale("log", base=2)
    batches = sorted(set(rows["batch"]))
    panel.set_xticks(batches, [str(batch) for batch in batches])
    panel.set_xlabel("tokens")
    panel.set_ylabel("times as fast as the fastest GLU")
    panel.set_ylim(bottom=0.0)
    panel.spines[["top", "right"]].set_visible(False)
    label_ends(panel, ends)
