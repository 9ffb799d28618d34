"""What charts share: panels by setting, titles that name the device, keys, and saving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.cases.case import Setting
from mglubench.errors import UsageError
from mglubench.report.looks import Look, dashes_of
from mglubench.results.ceilings import device_of
from mglubench.results.metrics import SETTING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_MAX = 6


def layers_of(good: pd.DataFrame) -> list[tuple[Setting, pd.DataFrame]]:
    """The rows of every layer, whatever the number of tokens, in measuring order.

    Raises:
        UsageError: there are none.
    """
    return groups_of(good, but="batch")


def groups_of(good: pd.DataFrame, but: str = "") -> list[tuple[Setting, pd.DataFrame]]:
    """The rows of every setting, in measuring order; those that differ in the axis ``but`` alone are one group.

    Raises:
        UsageError: there are none.
    """
    by = [name for name in SETTING if name != but]
    found = [(setting_of(rows), rows) for _, rows in good.groupby(by, sort=False)]
    if not found:
        raise UsageError("this run has no measured case to draw")
    return found


def setting_of(rows: pd.DataFrame) -> Setting:
    """The setting that all these rows share."""
    return Setting.of({str(name): value for name, value in rows.iloc[0].items()})


def title_of(frame: pd.DataFrame, words: str, device: str) -> str:
    """The heading of a panel: the setting in words and the name of the device that it was measured on."""
    known = device_of(frame, device)
    return f"{words}: {known.name}" if known and known.name else words


def panels(
    groups: Sequence[object], run: Mapping[str, object], width: float, height: float, what: str = "settings"
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel above another for the first groups, and its axes; fake runs are branded."""
    from matplotlib.figure import Figure

    count = min(len(groups), PANELS_MAX)
    figure = Figure(figsize=(width, height * count), layout="constrained")
    words = [f"first {count} of {len(groups)} {what}"] if len(groups) > count else []
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


def line(panel: Axes, rows: pd.DataFrame, x: str, figures: tuple[str, str, str], look: Look) -> float:
    """Draw ``figures`` (value, lowest, highest) of rows over a column; the value where the line ends."""
    value, low, high = (rows[name] for name in figures)
    # An interval of few samples may lie to one side of the value.
    errors = [(value - low).clip(lower=0), (high - value).clip(lower=0)]
    bars = panel.errorbar(rows[x], value, yerr=errors, capsize=2, linewidth=1.6, color=look.colour)
    bars.lines[0].set(marker=look.marker, markersize=5, linestyle=look.dashes)
    return float(value.iloc[-1])


def steps_of_two(panel: Axes, values: Iterable[int], words: str) -> None:
    """The x axis of sizes that double: a tick at each."""
    places = sorted({int(value) for value in values})
    panel.set_xscale("log", base=2)
    panel.set_xticks(places, [str(place) for place in places])
    panel.minorticks_off()
    panel.set_xlabel(words)


def key_by_nm(panel: Axes, ends: Sequence[tuple[float, str, Look, int]], nms: Sequence[int]) -> None:
    """A key for lines that differ in variant and nm: variants as high as their lines end, then dashes of nm."""
    looks = {name: look for _, name, look, _ in sorted(ends, key=lambda end: -end[0])}
    entries = [(name, look, True) for name, look in looks.items()]
    plain = [(f"nm={nm}", Look(0, "0.3", "", dashes_of(number)), True) for number, nm in enumerate(nms)]
    key(panel, entries + (plain if len(nms) > 1 else []), "" if len(nms) > 1 else "".join(f"nm={nm}" for nm in nms))


def key(panel: Axes, entries: Sequence[tuple[str, Look, bool]], title: str = "") -> None:
    """Names with their looks beside the panel, in the order given; ``True`` for lines, ``False`` for markers alone."""
    from matplotlib.lines import Line2D

    handles: list[Artist] = [
        Line2D(
            [],
            [],
            label=name,
            color=look.colour,
            marker=look.marker or None,
            markersize=6,
            linestyle=look.dashes if line else "none",
        )
        for name, look, line in entries
    ]
    panel.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=8,
        labelcolor=[look.colour for _, look, _ in entries],
        title=title,
        title_fontsize=8,
        alignment="left",
        handletextpad=0.5,
        handlelength=2.6 if any(line for _, _, line in entries) else 1.0,
    )
