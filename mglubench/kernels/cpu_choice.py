"""How the loops of a CPU kernel are made: rows side by side, blocks a turn, bytes asked for ahead.

Measured on an EPYC (Zen 4, two cores). fp32 at nm = 1 and 2 is faster when the hardware looks ahead by itself; with
more masks, whose words are then read again for every block, and with 16-bit weights, asking ahead is faster.
"""

from __future__ import annotations

from functools import cache

from mglubench.kernels.cpu_rows import LANES, RowShape, token_tile

# Streams of memory that a core follows at once, and how far ahead of their use it is asked for weights.
STREAMS, AHEAD = 4, 512
UNROLL = 2
# Beside the masks that do not fit any more, fp32 weights leave room for so many.
MOST_ACCUMULATORS = 20


@cache
def shape_for(nm: int, tokens: int, dtype: str, *, gated: bool = False) -> RowShape:
    """The shape of a kernel for so many tokens: as many streams as registers allow."""
    tile = token_tile(nm + gated, tokens)
    shape = RowShape(nm, tile, dtype, STREAMS // (1 + gated), UNROLL, AHEAD, gated)
    if dtype == "float32" and not gated:
        while shape.rows > 1 and shape.accumulators > MOST_ACCUMULATORS:
            shape = shape._replace(rows=shape.rows // 2)
        return shape._replace(ahead=0) if shape.fits else shape._replace(unroll=1)
    while shape.rows > 1 and not shape.fits:
        shape = shape._replace(rows=shape.rows // 2)
    return shape


def running_sums(nm: int, tokens: int, dtype: str, *, gated: bool = False) -> int:
    """Partial sums that a projection of a layer is kept in: lanes of a vector, times the independent ones."""
    return LANES * shape_for(nm, tokens, dtype, gated=gated).partials
