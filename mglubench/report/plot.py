"""A picture of a run: latency over the masks, over the tokens, or as bars, with what memory alone would take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from mglubench.cases.case import Setting
from mglubench.cases.vocabulary import CEILINGS
from mglubench.report.chart import key, key_by_nm, layers_of, line, panels, steps_of_two, title_of
from mglubench.report.looks import Look, dashes_of, look_of
from mglubench.report.roofs import floor_us
from mglubench.report.ticks import in_words, log_axis
from mglubench.results.ceilings import ceiling_by_device

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LATENCY = ("latency_us", "latency_low_us", "latency_high_us")
FLOOR = Look(0, "0.45", "", ":")
# What a key says of a line (its name, its look, that it is a line), and where it ends, by which names are ordered.
Entry = tuple[str, Look, bool]
End = tuple[float, Entry]


def latency_plot(frame: pd.DataFrame) -> Figure:
    """One panel per layer of a derived frame.

    Over the number of tokens where there are several, else over the number of masks where there are several, else as
    bars. Layers without masks are dashed; the dotted line is what the bytes of a bit-packed MGLU take at the ceiling.

    Raises:
        UsageError: no case was measured.
    """
    good = frame[(frame["status"] == "ok") & ~frame["layer"].isin(CEILINGS)]
    groups = layers_of(good)
    figure, axes = panels(groups, frame.attrs.get("run", {}), width=9.0, height=5.2)
    ceilings = ceiling_by_device(frame)
    for panel, (setting, rows) in zip(axes, groups, strict=False):
        words = setting.title()
        if rows["batch"].nunique() > 1:
            words = setting.title(but="batch")
            _over_batch(panel, rows)
        else:
            draw = _over_nm if _nms(rows)[1:] else _bars
            ends = draw(panel, setting, rows, ceilings.get(setting.device))
            key(panel, [entry for _, entry in sorted(ends, key=lambda end: -end[0])])
        panel.set_title(title_of(frame, words, setting.device), fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _nms(rows: pd.DataFrame) -> list[int]:
    return sorted({int(nm) for nm in rows["nm"] if nm})


def _over_nm(panel: Axes, setting: Setting, rows: pd.DataFrame, ceiling: float | None) -> list[End]:
    nms, ends = _nms(rows), []
    for name, own in rows[rows["nm"] > 0].sort_values("nm").groupby("variant", sort=False):
        look = look_of(str(name), "mglu")
        ends.append((line(panel, own, "nm", LATENCY, look), (str(name), look, True)))
    for row in rows[rows["nm"] == 0].to_dict("records"):
        look, us = look_of(row["variant"], row["layer"]), float(row["latency_us"])
        panel.axhline(us, color=look.colour, linestyle=look.dashes, linewidth=1.2)
        ends.append((us, (row["variant"], replace(look, marker=""), True)))
    if ceiling:
        floor = [floor_us(setting, nm, ceiling) for nm in nms]
        panel.plot(nms, floor, color=FLOOR.colour, linestyle=FLOOR.dashes, linewidth=1.4)
        ends.append((floor[-1], _floor_entry(ceiling)))
    _finish(panel, nms, "number of masks, nm")
    return ends


def _over_batch(panel: Axes, rows: pd.DataFrame) -> None:
    nms, ends = _nms(rows), []
    for (name, layer), same in rows.sort_values("batch").groupby(["variant", "layer"], sort=False):
        plain = look_of(str(name), str(layer))
        for nm in sorted({int(nm) for nm in same["nm"]}):
            look = replace(plain, dashes=dashes_of(nms.index(nm))) if nm else plain
            ends.append((line(panel, same[same["nm"] == nm], "batch", LATENCY, look), str(name), plain, nm))
    key_by_nm(panel, ends, nms)
    _finish(panel, rows["batch"], "tokens")


def _bars(panel: Axes, setting: Setting, rows: pd.DataFrame, ceiling: float | None) -> list[End]:
    """The fastest on top; bars start at zero, so that their lengths compare."""
    ordered = rows.sort_values("latency_us", ascending=False).to_dict("records")
    for place, row in enumerate(ordered):
        us, low, high = (float(row[name]) for name in LATENCY)
        # An interval that is not known is no line.
        reach = [[max(0.0, us - low)], [max(0.0, high - us)]]
        colour = look_of(row["variant"], row["layer"]).colour
        panel.barh(place, us, color=colour, xerr=reach, ecolor="0.3", capsize=2, height=0.7)
        beside = (us + reach[1][0], place)
        panel.annotate(in_words(us, "us"), beside, (5, 0), textcoords="offset points", fontsize=8, va="center")
    panel.set_yticks(range(len(ordered)), [_words(row["variant"], int(row["nm"])) for row in ordered])
    panel.xaxis.set_major_formatter(lambda value, _: in_words(value, "us"))
    panel.set_xlabel("latency")
    panel.margins(x=0.12)
    nms = _nms(rows)
    if not (ceiling and nms):
        return []
    floor = floor_us(setting, nms[0], ceiling)
    panel.axvline(floor, color=FLOOR.colour, linestyle=FLOOR.dashes, linewidth=1.4)
    return [(floor, _floor_entry(ceiling))]


def _words(variant: str, nm: int) -> str:
    return f"{variant}, nm={nm}" if nm else variant


def _floor_entry(ceiling: float) -> Entry:
    return f"floor: declared bytes\nat {ceiling:,.0f} GB/s", FLOOR, True


def _finish(panel: Axes, sizes: Iterable[int], words: str) -> None:
    log_axis(panel, "y", "us")
    steps_of_two(panel, sizes, words)
    panel.set_ylabel("latency (log)")
    panel.grid(True, which="major", axis="y", color="0.9")
