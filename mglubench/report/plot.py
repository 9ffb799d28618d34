"""A picture of a run: latency against the number of masks, with the baselines and what memory alone would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.cases.case import Case, Setting
from mglubench.cases.vocabulary import CEILINGS
from mglubench.layer.declared import declare
from mglubench.report.chart import colours_of, groups_of, label_ends, markers_of, panels, save
from mglubench.results.ceilings import ceiling_by_device

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["latency_plot", "save"]


def latency_plot(frame: pd.DataFrame) -> Figure:
    """One panel per setting of a derived frame: MGLU variants over nm, other layers as dashed lines, the floor below.

    Raises:
        UsageError: no case was measured.
    """
    good = frame[(frame["status"] == "ok") & ~frame["layer"].isin(CEILINGS)]
    groups = groups_of(good)
    figure, axes = panels(groups, frame.attrs.get("run", {}), width=9.0, height=5.2)
    ceilings = ceiling_by_device(frame)
    colours, markers = colours_of(good), markers_of(good)
    for panel, (setting, rows) in zip(axes, groups, strict=False):
        _panel(panel, setting, rows, colours, markers, ceilings.get(setting.device))
    return figure


def _panel(
    panel: Axes,
    setting: Setting,
    rows: pd.DataFrame,
    colours: dict[str, str],
    markers: dict[str, str],
    ceiling: float | None,
) -> None:
    masked = rows[rows["layer"] == "mglu"].sort_values("nm")
    ends: list[tuple[float, str, str]] = []
    for name, line in masked.groupby("variant", sort=False):
        errors = [line["latency_us"] - line["latency_low_us"], line["latency_high_us"] - line["latency_us"]]
        colour, marker = colours[str(name)], markers[str(name)]
        bars = panel.errorbar(line["nm"], line["latency_us"], yerr=errors, capsize=2, linewidth=1.6, color=colour)
        bars.lines[0].set(marker=marker, markersize=5)
        ends.append((float(line["latency_us"].iloc[-1]), str(name), colour))
    for _, row in rows[rows["layer"] != "mglu"].iterrows():
        panel.axhline(row["latency_us"], color=colours[row["variant"]], linestyle="--", linewidth=1.2)
        ends.append((row["latency_us"], row["variant"], colours[row["variant"]]))
    nms = sorted({int(nm) for nm in masked["nm"]})
    if ceiling and nms:
        floor = [floor_us(setting, nm, ceiling) for nm in nms]
        panel.plot(nms, floor, color="0.5", linestyle=":", linewidth=1.4)
        ends.append((floor[-1], f"floor: declared bytes at {ceiling:,.0f} GB/s", "0.4"))
    _finish(panel, setting, nms)
    label_ends(panel, ends)


def floor_us(setting: Setting, nm: int, ceiling: float) -> float:
    """Microseconds that the bytes of a bit-packed MGLU take at the measured ceiling."""
    case = Case("", setting.h, setting.d, nm, setting.batch, setting.dtype)
    return declare("mglu", case).total / ceiling / 1e3


def _finish(panel: Axes, setting: Setting, nms: list[int]) -> None:
    panel.set_yscale("log")
    if nms:
        panel.set_xscale("log", base=2)
        panel.set_xticks(nms, [str(nm) for nm in nms])
        panel.minorticks_off()
        panel.set_xlabel("number of masks, nm")
    panel.set_ylabel("latency, microseconds (log)")
    panel.set_title(setting.title(), fontsize=10, loc="left")
    panel.grid(True, which="major", axis="y", color="0.9")
    panel.spines[["top", "right"]].set_visible(False)
