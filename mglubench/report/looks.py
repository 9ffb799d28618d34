"""A look per variant, for good: the same colour, marker and dashes in every picture of every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

Dashes = Literal["-", "--", "-.", ":"] | tuple[float, Sequence[float]]
# Okabe and Ito's palette: told apart in print and by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X"
GREYS = ("0.15", "0.35", "0.5", "0.62")
PLAIN_MARKERS = "<>hpd8H"
DASHES: tuple[Dashes, ...] = ("--", "-.", (0, (1, 1)), (0, (6, 2, 1, 2, 1, 2)), (0, (9, 3)))
NM_DASHES: tuple[Dashes, ...] = ("-", "--", ":", "-.")
# Places in the lists above. They are never given away again: a new variant goes to the end.
MASKED = (
    # Those of a CPU's tables have a colour each.
    *("mglu-naive", "mglu-premasked", "mglu-compiled", "mglu-numba-cpu", "mglu-op", "mglu-naive-float"),
    *("mglu-naive-complement", "flash-mglu-bulk", "flash-mglu-mma", "flash-mglu-packed", "flash-mglu-paper"),
    *("flash-mglu-triton", "mglu-numba-naive", "mglu-numba-splitk", "mglu-numba-packed", "mglu-dequantise"),
)
PLAIN = (
    "lu",
    "swiglu",
    "swiglu-merged",
    "swiglu-compiled",
    "swiglu-numba-cpu",
    "swiglu-fused",
    "swiglu-dequantise",
    "swiglu-torch-lowbit",
)
# A variant of somebody else's has the place that its name falls on, behind those that are known.
LATER = 56


@dataclass(frozen=True, slots=True)
class Look:
    """How a variant is drawn; ``place`` is its place among those with masks, or among those without."""

    place: int
    colour: str
    marker: str
    dashes: Dashes


def look_of(variant: str, layer: str) -> Look:
    """The look of a variant, which depends on its name alone; layers without masks are grey and dashed."""
    masked = layer == "mglu"
    known = MASKED if masked else PLAIN
    place = known.index(variant) if variant in known else len(known) + crc32(variant.encode()) % (LATER - len(known))
    colours, markers = (COLOURS, MARKERS) if masked else (GREYS, PLAIN_MARKERS)
    # The lengths of the two lists have no common divisor, so that pairs repeat only after all of them.
    colour, marker = colours[place % len(colours)], markers[place % len(markers)]
    return Look(place, colour, marker, "-" if masked else DASHES[place % len(DASHES)])


def dashes_of(number: int) -> Dashes:
    """Dashes for the k-th number of masks, where a colour says the variant."""
    return NM_DASHES[number % len(NM_DASHES)]
