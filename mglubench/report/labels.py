"""Texts inside a chart that cover neither each other nor points nor lines, placed by textalloc.

Places are tried in pixels: the layout of the figure must be settled (``figure.draw_without_rendering()``), and the axes
must keep their limits afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = 7.5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """A text that belongs to a point in data coordinates, and where it would like to stand (``north``, ...)."""

    at: Point
    text: str
    colour: str
    direction: str = "north"


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line on the screen, from ``start`` to ``end`` in data coordinates; solid for what was measured."""

    label: str
    solid: bool
    start: Point
    end: Point

    @property
    def colour(self) -> str:
        """Dark for what was measured."""
        return "0.1" if self.solid else "0.45"

    @property
    def level(self) -> bool:
        """Whether it is as high at its end as at its start."""
        return self.start[1] == self.end[1]

    def at(self, part: float) -> Point:
        """The point after a part of the line, as it is seen on logarithmic axes."""
        x, y = (one ** (1 - part) * other**part for one, other in zip(self.start, self.end, strict=True))
        return x, y


def place(panel: Axes, labels: Sequence[Label], points: Sequence[Point], paths: Sequence[Sequence[Point]]) -> None:
    """Put every text beside its point, off all texts, ``points`` and ``paths``; a thin line leads to the point."""
    from textalloc import allocate

    seen = [*points, *(label.at for label in labels)]
    colours = [label.colour for label in labels]
    allocate(
        panel,
        [label.at[0] for label in labels],
        [label.at[1] for label in labels],
        [label.text for label in labels],
        x_scatter=[x for x, _ in seen],
        y_scatter=[y for _, y in seen],
        x_lines=[[x for x, _ in path] for path in paths],
        y_lines=[[y for _, y in path] for path in paths],
        direction=[label.direction for label in labels],
        textsize=FONT,
        textcolor=colours,
        linecolor=colours,
        linewidth=0.5,
        min_distance=0.012,
        max_distance=0.25,
        margin=0.006,
        nbr_candidates=400,
    )
    for text in panel.texts:
        text.set_in_layout(False)
