"""``roofline``: what a run reached against what its device can give.

Two charts, one panel per setting, one marker per variant and nm, layers without masks in grey:

- ``roofline``: FLOP/s reached over arithmetic intensity, under the roofs of memory and arithmetic.
- ``bandwidth``: time over bytes moved, above the line that memory alone would take.

FLOPs are declared (what the formula needs, not what a wasteful implementation executes). Bytes are DRAM bytes that ncu
counted where a case has them (filled markers), else declared ones (open markers). Times never come from a profiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglubench.cases.vocabulary import CEILINGS, one_of
from mglubench.report.chart import groups_of, key, panels
from mglubench.report.labels import FONT, Label, Line, place
from mglubench.report.looks import Look, look_of
from mglubench.report.roofs import Roof, Roofs, roofs_of
from mglubench.report.ticks import log_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COUNTED = ("dram_bytes_read", "dram_bytes_written")


@dataclass(frozen=True, slots=True)
class Point:
    """One measured case: bytes moved, FLOPs needed, microseconds taken."""

    variant: str
    nm: int
    bytes: float
    flops: float
    us: float
    counted: bool

    @property
    def intensity(self) -> float:
        """FLOP per byte."""
        return self.flops / self.bytes

    @property
    def flops_per_s(self) -> float:
        """Declared FLOPs over the measured time."""
        return self.flops / self.us * 1e6


def draw(frame: pd.DataFrame, kind: str = "roofline") -> Figure:
    """The chart of a run (as :func:`mglubench.load` returns it); ``kind`` is ``roofline`` or ``bandwidth``.

    Raises:
        UsageError: another kind, or no case was measured.
    """
    one_of(kind, KINDS, "kind of chart")
    good = frame[(frame["status"] == "ok") & ~frame["layer"].isin(CEILINGS)]
    groups = groups_of(good)
    figure, axes = panels(groups, frame.attrs.get("run", {}), width=11.0, height=6.4)
    drawn = []
    for panel, (setting, rows) in zip(axes, groups, strict=False):
        roofs = roofs_of(frame, setting.device, setting.dtype)
        points = points_of(rows)
        where = KINDS[kind]
        looks = {name: look_of(name, layer) for name, layer in zip(rows["variant"], rows["layer"], strict=True)}
        _markers(panel, points, where, looks)
        panel.set_title(f"{setting.title()}: {roofs.device}", fontsize=10, loc="left")
        drawn.append((panel, points, where, _DRAW[kind](panel, points, roofs), looks))
    # Labels are placed in pixels: the layout must be settled before.
    figure.draw_without_rendering()
    for parts in drawn:
        _label(*parts)
    return figure


def points_of(rows: pd.DataFrame) -> list[Point]:
    """The points of measured rows, by variant and nm; DRAM bytes where both directions were counted."""
    found = []
    for row in rows.sort_values("nm", kind="stable").to_dict("records"):
        counts = [row.get(name) for name in COUNTED]
        counted = all(count is not None and count == count for count in counts)
        moved = sum(float(count) for count in counts if count is not None) if counted else float(row["bytes_total"])
        if moved > 0 and row["flops"] > 0:
            us = float(row["latency_us"])
            found.append(Point(str(row["variant"]), int(row["nm"]), moved, float(row["flops"]), us, counted))
    return found


Where = Callable[[Point], tuple[float, float]]
KINDS: dict[str, Where] = {
    "roofline": lambda point: (point.intensity, point.flops_per_s / 1e9),
    "bandwidth": lambda point: (point.bytes / 1e6, point.us),
}


def _draw_roofline(panel: Axes, points: list[Point], roofs: Roofs) -> list[Line]:
    """Axes and roofs of FLOP/s over FLOP/byte."""
    top = max((roof.rate for roof in roofs.compute), default=None)
    fastest = max((roof.rate for roof in roofs.memory), default=None)
    intensities = [point.intensity for point in points]
    low, high = min(intensities) / 2, max(intensities) * 3
    if top and fastest:
        # A name below a level roof must stand beside the slopes.
        high = max(high, (25 if len(roofs.compute) > 1 else 6) * top / fastest)
    lines = [_memory_line(roof, low, high, top) for roof in roofs.memory]
    lines += [_compute_line(roof, high, fastest) for roof in roofs.compute]
    _draw_lines(panel, lines)
    reached = [point.flops_per_s / 1e9 for point in points]
    heights = [*reached, *(line.end[1] for line in lines)]
    _log_axes(panel, (low, high), (min(reached) / 2, max(heights) * 2), ("", "GFLOP/s"))
    panel.set_xlabel(f"arithmetic intensity, FLOP per byte ({_bytes_words(points)})")
    panel.set_ylabel("reached (declared FLOPs)")
    return lines


def _draw_bandwidth(panel: Axes, points: list[Point], roofs: Roofs) -> list[Line]:
    """Axes and floor lines of microseconds over megabytes."""
    sizes, times = [point.bytes / 1e6 for point in points], [point.us for point in points]
    low, high = min(sizes) / 1.6, max(sizes) * 4
    lines = [_floor_line(roof, low, high) for roof in roofs.memory]
    _draw_lines(panel, lines)
    floors, ends = [line.start[1] for line in lines], [line.end[1] for line in lines]
    _log_axes(panel, (low, high), (min([*times, *floors]) / 1.6, max([*times, *ends]) * 1.6), ("MB", "us"))
    if roofs.l2_bytes and low < roofs.l2_bytes / 1e6 < high:
        edge = roofs.l2_bytes / 1e6
        panel.axvspan(low, edge, color="0.96", zorder=0)
        note = panel.annotate(
            f"fits in L2, {roofs.l2_bytes / 2**20:,.0f} MiB",
            xy=(edge, 0.0),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 4),
            textcoords="offset points",
            fontsize=FONT,
            color="0.4",
            ha="right",
        )
        note.set_in_layout(False)
    panel.set_xlabel(f"moved by one run ({_bytes_words(points)})")
    panel.set_ylabel("time")
    return lines


_DRAW: dict[str, Callable[[Axes, list[Point], Roofs], list[Line]]] = {
    "roofline": _draw_roofline,
    "bandwidth": _draw_bandwidth,
}


def _memory_line(roof: Roof, low: float, high: float, top: float | None) -> Line:
    """From the left edge to the ridge, where the fastest unit of the device takes over."""
    end = min(high, top / roof.rate) if top else high
    return Line(roof.label, roof.measured, (low, roof.rate * low / 1e9), (end, roof.rate * end / 1e9))


def _compute_line(roof: Roof, high: float, fastest: float | None) -> Line:
    start = roof.rate / fastest if fastest else high / 1e3
    return Line(roof.label, roof.measured, (start, roof.rate / 1e9), (high, roof.rate / 1e9))


def _floor_line(roof: Roof, low: float, high: float) -> Line:
    return Line(roof.label, roof.measured, (low, low * 1e12 / roof.rate), (high, high * 1e12 / roof.rate))


def _draw_lines(panel: Axes, lines: list[Line]) -> None:
    for line in lines:
        width, style = (1.4, "-") if line.solid else (1.2, "--")
        ends = zip(line.start, line.end, strict=True)
        panel.plot(*ends, color=line.colour, zorder=1, linewidth=width, linestyle=style)


def _markers(panel: Axes, points: list[Point], where: Where, looks: Mapping[str, Look]) -> None:
    """Markers joined by a thin line per variant; the key beside the panel has the fastest on top."""
    ends: dict[str, Point] = {}
    for name in dict.fromkeys(point.variant for point in points):
        own = [point for point in points if point.variant == name]
        look, ends[name] = looks[name], own[-1]
        panel.plot(*zip(*map(where, own), strict=True), color=look.colour, linewidth=0.7, alpha=0.45, zorder=2)
        for point in own:
            x, y = where(point)
            face = look.colour if point.counted else "white"
            (drawn,) = panel.plot([x], [y], linestyle="none", marker=look.marker, markersize=5.5, zorder=3)
            drawn.set(markeredgewidth=1.3, markeredgecolor=look.colour, markerfacecolor=face)
    fastest_first = sorted(ends, key=lambda name: ends[name].us)
    key(panel, [(name, looks[name], False) for name in fastest_first], "fastest first; digits: nm")


def _label(panel: Axes, points: list[Point], where: Where, lines: list[Line], looks: Mapping[str, Look]) -> None:
    """Names of the roofs beside them, then the nm of every point with masks."""
    labels = list(_roof_labels(lines))
    # Away from the roofs: they are above what was reached, and below the time that it took.
    away = "southeast" if where is KINDS["roofline"] else "northwest"
    labels += [Label(where(point), str(point.nm), looks[point.variant].colour, away) for point in points if point.nm]
    trails = [[where(point) for point in points if point.variant == name] for name in looks]
    place(panel, labels, [where(point) for point in points], [[line.start, line.end] for line in lines] + trails)


def _roof_labels(lines: list[Line]) -> Iterator[Label]:
    """The highest slope is named above, those below it below; names of neighbours stand apart along their lines.

    Level roofs come in pairs, what a unit was sold as over what it was measured at: the upper is named above, the lower
    below, so that neither name lies between them.
    """
    slopes = sorted((line for line in lines if not line.level), key=lambda line: -line.start[1] / line.start[0])
    for number, line in enumerate(slopes):
        yield Label(line.at(0.9 - 0.09 * number), line.label, line.colour, "southeast" if number else "northwest")
    levels = sorted((line for line in lines if line.level), key=lambda line: -line.start[1])
    for number, line in enumerate(levels):
        yield Label(line.at(0.97), line.label, line.colour, "southwest" if number % 2 else "northwest")


def _log_axes(panel: Axes, x: tuple[float, float], y: tuple[float, float], units: tuple[str, str]) -> None:
    for which, unit in zip("xy", units, strict=True):
        log_axis(panel, which, unit)
    panel.set_xlim(*x)
    panel.set_ylim(*y)
    panel.grid(True, which="major", color="0.92", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _bytes_words(points: list[Point]) -> str:
    if all(point.counted for point in points):
        return "DRAM bytes counted by ncu"
    if any(point.counted for point in points):
        return "filled: DRAM bytes counted by ncu, open: declared"
    return "declared bytes"
