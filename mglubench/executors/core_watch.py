"""Rounds are kept from one place of the cores only: near each other, if that gives enough of them.

See :mod:`~mglubench.hardware.core_distance` for what moves and what it does to figures. Before a block the cores are
waited for, as long as the patience of the set lasts; what was taken while they were apart is set aside at the end, and
the row says how much and how far apart. Where all rounds were taken apart, they stay: a later comparison sees it by the
distance in the row.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mglubench.measure.measurement import Summary
from mglubench.spread import LEAST_ROUNDS
from mglubench.stats import median

# More than the shortest distance seen times this is apart. On one chip distances differ by less, between chips by five.
APART = 2.5
PAUSE = 0.1

Distance = Callable[[], float | None]


@dataclass
class CoreWatch:
    """Looks at the distance of the cores, and waits until they are near.

    Attributes:
        distance: nanoseconds there and back, ``None`` if it is not known. patience: seconds that may still be waited.
        least: the shortest distance seen.
    """

    distance: Distance = lambda: None
    patience: float = 0.0
    least: float = math.inf
    sleep: Callable[[float], None] = time.sleep

    def patient(self, seconds: float) -> CoreWatch:
        """The same watch for another set."""
        self.patience = seconds
        return self

    def look(self) -> float | None:
        """The distance now."""
        found = self.distance()
        if found is not None:
            self.least = min(self.least, found)
        return found

    def wait(self) -> float | None:
        """The distance once the cores are near, or once patience is over."""
        found = self.look()
        while self.apart(found) and self.patience > 0:
            self.sleep(PAUSE)
            self.patience -= PAUSE
            found = self.look()
        return found

    def apart(self, distance: float | None) -> bool:
        """Whether this is farther than the cores have been seen; what is not known is not judged."""
        return distance is not None and distance > APART * self.least


def one_place(watch: CoreWatch, distances: Sequence[Sequence[float | None]]) -> list[list[bool]]:
    """Which rounds of which case are kept: those near if every case has enough, else those apart if that does, or all.

    Args:
        distances: by case, of its rounds that have samples.
    """
    near = [[not watch.apart(found) for found in of_case] for of_case in distances]
    far = [[not kept for kept in of_case] for of_case in near]
    for kept in (near, far):
        if all(sum(of_case) >= LEAST_ROUNDS for of_case in kept):
            return kept
    return [[True] * len(of_case) for of_case in distances]


def place_of_cores(distances: Sequence[float | None], kept: Sequence[bool]) -> tuple[Summary, str]:
    """Where the cores were in a case's rounds: figures for its row, and words."""
    pairs = list(zip(distances, kept, strict=True))
    near = [found for found, stays in pairs if stays and found is not None]
    aside = [found for found, stays in pairs if not stays and found is not None]
    if not near:
        return {}, ""
    figures: Summary = {"core_ns": round(median(near), 1)}
    words = f"cores {median(near):.0f} ns apart"
    if aside:
        figures |= {"core_ns_aside": round(median(aside), 1), "rounds_aside": len(aside)}
        words += f", {len(aside)} rounds at {median(aside):.0f} ns set aside"
    return figures, words
