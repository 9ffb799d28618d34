"""Texts inside a chart that cover nothing: names along lines, and labels beside points.

Places are tried in pixels, nearest first, against boxes that are taken; so the layout of the figure must be settled
(``figure.draw_without_rendering()``) and the axes must keep their limits afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import atan2, cos, degrees, hypot, pi, sin
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = 7.5
# Size of DejaVu Sans in em, on the safe side: mean advance, and half the height of a line.
ADVANCE, HALF_LINE = 0.6, 0.58
# Distances in points from a point to its label, and directions, to the right and up first.
RINGS = (8.0, 12.0, 17.0, 23.0, 30.0, 38.0, 48.0, 60.0)
TURNS = tuple(k * pi / 8 for k in (2, 1, 3, 0, 4, 6, 14, 5, 7, 15, 13, 12, 8, 9, 11, 10))
# A label farther away than this gets a line to its point.
NEAR = 13.0
# Places along a line that are tried for its name.
PLACES = 40

# Left, bottom, right, top; in pixels.
Box = tuple[float, float, float, float]
# Where a text starts and ends, in pixels.
Span = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class PointLabel:
    """A text that belongs to a point in data coordinates."""

    x: float
    y: float
    text: str
    colour: str


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line on the screen, from ``start`` to ``end`` in data coordinates; solid for what was measured."""

    label: str
    solid: bool
    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def colour(self) -> str:
        """Dark for what was measured."""
        return "0.1" if self.solid else "0.45"


def label_points(panel: Axes, labels: Sequence[PointLabel], keep_clear: Sequence[Box] = ()) -> None:
    """Put every text beside its point where it covers no other label, no point and nothing of ``keep_clear``."""
    scale = points_to_pixels(panel)
    taken = [*keep_clear, *(around(*pixels(panel, label.x, label.y), 4.5 * scale) for label in labels)]
    for label in labels:
        width, height = FONT * scale * (ADVANCE * len(label.text) + 0.3), FONT * scale * 2 * HALF_LINE
        offset, box = _free_place(pixels(panel, label.x, label.y), (width, height), scale, taken, _edges(panel))
        taken.append(box)
        line = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        text = panel.annotate(
            label.text,
            xy=(label.x, label.y),
            xytext=offset,
            textcoords="offset points",
            fontsize=FONT,
            color=label.colour,
            ha="center",
            va="center",
            arrowprops=line if hypot(*offset) > NEAR else None,
        )
        text.set_in_layout(False)


def label_lines(panel: Axes, lines: Sequence[Line], keep_clear: Sequence[Box] = ()) -> list[Box]:
    """Write every line's name along it, above or below, off the other lines and ``keep_clear``; the boxes it takes."""
    names: list[Box] = []
    # The shortest line has the fewest places: it goes first.
    for line in sorted(lines, key=lambda line: hypot(*_reach(panel, line))):
        others = [box for other in lines if other is not line for box in stroke(panel, other)]
        (x, y), angle, boxes = _place_on_line(panel, line, [*keep_clear, *names, *others])
        names += boxes
        fx, fy = panel.transAxes.inverted().transform((x, y))
        text = panel.annotate(
            line.label,
            xy=(fx, fy),
            xycoords="axes fraction",
            fontsize=FONT,
            color=line.colour,
            rotation=angle,
            rotation_mode="anchor",
            ha="left",
            va="center",
        )
        text.set_in_layout(False)
    return names


def stroke(panel: Axes, line: Line) -> list[Box]:
    """Small boxes that cover a line."""
    return boxes_between(pixels(panel, *line.start), pixels(panel, *line.end), 1.5 * points_to_pixels(panel))


def boxes_between(start: tuple[float, float], end: tuple[float, float], half: float) -> list[Box]:
    """Small upright boxes along a slanted stretch, ``half`` to each side."""
    (ax, ay), (bx, by) = start, end
    count = max(1, round(hypot(bx - ax, by - ay) / half))
    return [around(ax + (bx - ax) * k / count, ay + (by - ay) * k / count, half) for k in range(count + 1)]


def around(x: float, y: float, half: float) -> Box:
    """The square of ``half`` to each side of a point."""
    return (x - half, y - half, x + half, y + half)


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes have a common area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def pixels(panel: Axes, x: float, y: float) -> tuple[float, float]:
    """Where data coordinates are on the screen."""
    px, py = panel.transData.transform((x, y))
    return float(px), float(py)


def points_to_pixels(panel: Axes) -> float:
    """Pixels per typographic point."""
    return panel.figure.dpi / 72


def _free_place(
    point: tuple[float, float], size: tuple[float, float], scale: float, taken: Sequence[Box], inside: Box
) -> tuple[tuple[float, float], Box]:
    """Offset in points and box of the nearest place that is free; of the least crowded one if none is."""
    crowded: list[tuple[int, tuple[float, float], Box]] = []
    for dx, dy in ((ring * cos(turn), ring * sin(turn)) for ring in RINGS for turn in TURNS):
        x, y = point[0] + dx * scale, point[1] + dy * scale
        box = (x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
        hits = sum(overlap(box, other) for other in taken) + 1000 * _outside(box, inside)
        if not hits:
            return (dx, dy), box
        crowded.append((hits, (dx, dy), box))
    _, offset, box = min(crowded)
    return offset, box


def _place_on_line(panel: Axes, line: Line, taken: Sequence[Box]) -> tuple[tuple[float, float], float, list[Box]]:
    """Start of the text in pixels, its angle in degrees, and the boxes along it: the first free place or the best."""
    turn, places = _places(panel, line)
    inside = _edges(panel)
    half = HALF_LINE * FONT * points_to_pixels(panel)
    best: tuple[int, tuple[float, float], list[Box]] | None = None
    for start, end in places:
        boxes = boxes_between(start, end, half)
        hits = sum(overlap(box, other) for box in boxes for other in taken) + sum(_outside(b, inside) for b in boxes)
        if best is None or hits < best[0]:
            best = (hits, start, boxes)
        if not hits:
            break
    assert best is not None
    return best[1], degrees(turn), best[2]


def _places(panel: Axes, line: Line) -> tuple[float, Iterator[Span]]:
    """The line's angle, and starts and ends of a text: along the line from its end backwards, above and below, then
    ahead of its start.
    """
    scale = points_to_pixels(panel)
    (ax, ay), (right, up) = pixels(panel, *line.start), _reach(panel, line)
    turn, length = atan2(up, right), ADVANCE * FONT * scale * len(line.label)
    # A text that is longer than its line starts before it.
    room = 0.98 * hypot(right, up) - length
    away = (HALF_LINE * FONT + 2) * scale

    def stretch(along: float, side: float) -> Span:
        x, y = ax + along * cos(turn) - side * sin(turn), ay + along * sin(turn) + side * cos(turn)
        return (x, y), (x + length * cos(turn), y + length * sin(turn))

    def walk() -> Iterator[Span]:
        for step in range(PLACES):
            along = room - max(0.0, room) * step / PLACES
            yield from (stretch(along, side) for side in (away, -away))
        yield stretch(-length - FONT * scale, 0.0)

    return turn, walk()


def _reach(panel: Axes, line: Line) -> tuple[float, float]:
    """From a line's start to its end, in pixels."""
    (ax, ay), (bx, by) = pixels(panel, *line.start), pixels(panel, *line.end)
    return bx - ax, by - ay


def _edges(panel: Axes) -> Box:
    left, bottom, right, top = (float(value) for value in panel.get_window_extent().extents)
    return left, bottom, right, top


def _outside(box: Box, inside: Box) -> bool:
    return box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]
