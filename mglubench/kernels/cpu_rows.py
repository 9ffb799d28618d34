"""One row of W against a tile of tokens on a CPU: how many tokens share it, and the compiled loop over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    Bits = npt.NDArray[np.float32] | npt.NDArray[np.uint16]

LANES = 16
# Accumulators that stay in registers: AVX-512 has 32, and the loop needs a few for weights, x and products.
ACCUMULATORS = 28
# Pieces of rows per thread: enough to even out a core that was taken away for a moment.
PIECES_PER_THREAD = 8


def token_tile(nm: int, batch: int) -> int:
    """Tokens that share one pass over a row: a power of two whose nm + 1 sums per token fit the registers."""
    tile = 1
    while tile < 8 and tile < batch and 2 * tile * (nm + 1) <= ACCUMULATORS:
        tile *= 2
    return tile


class RowShape(NamedTuple):
    """What a row kernel is specialised for; nm = 0 is a plain product."""

    nm: int
    tile: int
    dtype: str

    @property
    def sums(self) -> int:
        """Accumulators: nm gates and one total, per token."""
        return (self.nm + 1) * self.tile

    @property
    def unroll(self) -> int:
        """Independent partial sums per accumulator, so that a short row of additions does not wait for itself."""
        return max(1, min(4, 8 // self.sums))


def running_sums(nm: int, batch: int) -> int:
    """Partial sums that a projection of a layer is kept in: lanes of a vector, times what is unrolled."""
    return LANES * RowShape(nm, token_tile(nm, batch), "float32").unroll


def as_bits(weight: torch.Tensor) -> Bits:
    """A numpy view of a contiguous tensor; 16-bit floats come as uint16, since numpy has no bfloat16."""
    import torch

    plain = weight.detach()
    return plain.numpy() if plain.dtype == torch.float32 else plain.view(torch.uint16).numpy()


@cache
def row_kernel(nm: int, tile: int, dtype: str) -> Callable[..., None]:
    """A Numba intrinsic ``row(w, m, x, stride, blocks, out)`` for one (nm, token tile, weight dtype).

    Args of the intrinsic, all integers: address of the row of W, of its mask words (``row-words16``), of x (fp32,
    16-column blocks), elements between tokens of x, number of blocks, address of the output: fp32
    ``[nm + 1, tile]``, gates first, total last.
    """
    from mglubench.kernels.numba_cpu_ir import row_intrinsic

    return row_intrinsic(RowShape(nm, tile, dtype))
