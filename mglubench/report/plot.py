"""A picture of a run: latency against the number of masks, with the baselines and what memory alone would take."""

from __future__ import annotations

from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mglubench.errors import UsageError
from mglubench.results.metrics import SETTING, ceiling_by_device
from mglubench.spec.case import Case, Setting
from mglubench.spec.ledger import declare

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart in print and by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X"
GROUP_GAP = 0.045
PANELS_MAX = 6


def latency_plot(frame: pd.DataFrame) -> Figure:
    """One panel per setting of a derived frame: MGLU variants over nm, other layers as dashed lines, the floor below.

    Raises:
        UsageError: no case was measured.
    """
    from matplotlib.figure import Figure

    good = frame[(frame["status"] == "ok") & (frame["layer"] != "read")]
    groups = [(_setting(key), rows) for key, rows in good.groupby(SETTING, sort=False)][:PANELS_MAX]
    if not groups:
        raise UsageError("this run has no measured case to draw")
    figure = Figure(figsize=(9.0, 5.2 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    ceilings = ceiling_by_device(frame)
    colours = _colours(good)
    for panel, (setting, rows) in zip(axes, groups, strict=True):
        _panel(panel, setting, rows, colours, ceilings.get(setting.device))
    if frame.attrs.get("run", {}).get("fake"):
        figure.suptitle("FAKE RUN: nothing was measured", color="red")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture by its ending (.png, .svg, .pdf); published by a rename.

    Raises:
        UsageError: another ending, or a folder that cannot be written.
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in ("png", "svg", "pdf"):
        raise UsageError(f"cannot draw {path.name!r}; use a name that ends in .png, .svg or .pdf")
    partial = path.with_name(f".{path.name}.partial")
    try:
        figure.savefig(partial, format=form, dpi=150)
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def _panel(panel: Axes, setting: Setting, rows: pd.DataFrame, colours: dict[str, str], ceiling: float | None) -> None:
    masked = rows[rows["layer"] == "mglu"].sort_values("nm")
    ends: list[tuple[float, str, str]] = []
    for k, (name, line) in enumerate(masked.groupby("variant", sort=False)):
        errors = [line["latency_us"] - line["latency_low_us"], line["latency_high_us"] - line["latency_us"]]
        style: dict[str, Any] = {"color": colours[str(name)], "marker": MARKERS[k % len(MARKERS)], "markersize": 5}
        panel.errorbar(line["nm"], line["latency_us"], yerr=errors, capsize=2, linewidth=1.6, **style)
        ends.append((float(line["latency_us"].iloc[-1]), str(name), colours[str(name)]))
    for _, row in rows[rows["layer"] != "mglu"].iterrows():
        panel.axhline(row["latency_us"], color=colours[row["variant"]], linestyle="--", linewidth=1.2)
        ends.append((row["latency_us"], row["variant"], colours[row["variant"]]))
    nms = sorted({int(nm) for nm in masked["nm"]})
    if ceiling and nms:
        floor = [_floor_us(setting, nm, ceiling) for nm in nms]
        panel.plot(nms, floor, color="0.5", linestyle=":", linewidth=1.4)
        ends.append((floor[-1], f"floor: declared bytes at {ceiling:,.0f} GB/s", "0.4"))
    _finish(panel, setting, nms)
    _label_ends(panel, ends)


def _setting(key: Any) -> Setting:
    return Setting(*key)


def _floor_us(setting: Setting, nm: int, ceiling: float) -> float:
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


def _label_ends(panel: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right edge, pushed apart where lines end close together."""
    low, high = (
        float(value)
        for value in panel.transData.inverted().transform(panel.transAxes.transform([(0, 0), (1, 1)]))[:, 1]
    )
    span = log10(high) - log10(low)
    placed = -1.0
    for value, name, colour in sorted(ends):
        wanted = (log10(value) - log10(low)) / span
        placed = max(wanted, placed + GROUP_GAP)
        panel.annotate(
            name,
            xy=(1.0, wanted),
            xycoords="axes fraction",
            xytext=(1.03, placed),
            textcoords="axes fraction",
            fontsize=8,
            color=colour,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0.0, 0.5)},
        )


def _colours(good: pd.DataFrame) -> dict[str, str]:
    """A colour per variant, the same in every panel; layers without masks share greys."""
    masked = list(dict.fromkeys(good[good["layer"] == "mglu"]["variant"]))
    plain = list(dict.fromkeys(good[good["layer"] != "mglu"]["variant"]))
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(masked)}
    return colours | {name: str(0.15 + 0.5 * k / max(1, len(plain))) for k, name in enumerate(plain)}
