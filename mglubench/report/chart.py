"""What charts share: panels by setting, one look per variant, names at line ends, and saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.cases.case import Setting
from mglubench.errors import UsageError
from mglubench.results.metrics import SETTING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart in print and by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X"
PLAIN_MARKERS = "<>hpd8H"
PANELS_MAX = 6


def groups_of(good: pd.DataFrame) -> list[tuple[Setting, pd.DataFrame]]:
    """The rows of every setting, in measuring order.

    Raises:
        UsageError: there are none.
    """
    found = [(setting_of(rows), rows) for _, rows in good.groupby(SETTING, sort=False)]
    if not found:
        raise UsageError("this run has no measured case to draw")
    return found


def setting_of(rows: pd.DataFrame) -> Setting:
    """The setting that all these rows share."""
    return Setting.of({str(name): value for name, value in rows.iloc[0].items()})


def panels(
    groups: Sequence[tuple[Setting, object]], run: Mapping[str, object], width: float, height: float
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel above another for the first settings, and its axes; fake runs are branded."""
    from matplotlib.figure import Figure

    count = min(len(groups), PANELS_MAX)
    figure = Figure(figsize=(width, height * count), layout="constrained")
    words = [f"first {count} of {len(groups)} settings"] if len(groups) > count else []
    if run.get("fake"):
        words.insert(0, "FAKE RUN: nothing was measured")
    if words:
        figure.suptitle(", ".join(words), color="red" if run.get("fake") else "black", fontsize=11)
    return figure, list(figure.subplots(count, 1, squeeze=False)[:, 0])


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


def colours_of(good: pd.DataFrame) -> dict[str, str]:
    """A colour per variant, the same in every panel; layers without masks share greys."""
    masked, plain = _names(good)
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(masked)}
    return colours | {name: str(0.15 + 0.5 * k / max(1, len(plain))) for k, name in enumerate(plain)}


def markers_of(good: pd.DataFrame) -> dict[str, str]:
    """A marker per variant, the same in every panel."""
    masked, plain = _names(good)
    markers = {name: MARKERS[k % len(MARKERS)] for k, name in enumerate(masked)}
    return markers | {name: PLAIN_MARKERS[k % len(PLAIN_MARKERS)] for k, name in enumerate(plain)}


def spread(wanted: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Ascending positions at least ``gap`` apart inside [low, high], as near to ``wanted`` as can be (least squares).

    ``wanted`` is ascending. Where the span is too short for all gaps, they shrink alike.
    """
    count = len(wanted)
    if count > 1:
        gap = min(gap, (high - low) / (count - 1))
    # Without the gaps, positions need only be ascending: pool neighbours that are not.
    pools: list[tuple[float, int]] = []
    for k, value in enumerate(wanted):
        total, size = value - k * gap, 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            total, size = total + pools[-1][0], size + pools[-1][1]
            pools.pop()
        pools.append((total, size))
    flat = [total / size for total, size in pools for _ in range(size)]
    top = high - (count - 1) * gap
    return [min(max(value, low), top) + k * gap for k, value in enumerate(flat)]


def label_ends(panel: Axes, ends: Sequence[tuple[float, str, str]], gap: float = 0.045) -> None:
    """Names (value, text, colour) at the right edge, pushed apart where lines end close together."""
    ordered = sorted(ends)
    to_axes = panel.transData + panel.transAxes.inverted()
    wanted = [float(to_axes.transform((panel.get_xlim()[1], value))[1]) for value, _, _ in ordered]
    for (_, name, colour), start, end in zip(ordered, wanted, spread(wanted, gap), strict=True):
        panel.annotate(
            name,
            xy=(1.0, start),
            xycoords="axes fraction",
            xytext=(1.03, end),
            textcoords="axes fraction",
            fontsize=8,
            color=colour,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0.0, 0.5)},
        )


def _names(good: pd.DataFrame) -> tuple[list[str], list[str]]:
    masked = list(dict.fromkeys(good[good["layer"] == "mglu"]["variant"]))
    return masked, list(dict.fromkeys(good[good["layer"] != "mglu"]["variant"]))
