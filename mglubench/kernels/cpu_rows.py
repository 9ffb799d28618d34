"""Rows of W against a tile of tokens on a CPU: how many of each share a pass, and the compiled loop over them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mglubench.cases.vocabulary import ITEMSIZE
from mglubench.kernels.cpu_target import target
from mglubench.layer.formats.weight_formats import FORMATS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    Bits = npt.NDArray[np.float32] | npt.NDArray[np.uint16] | npt.NDArray[np.uint8]

LANES = 16
# Bytes of a cache line.
LINE = 64
# Blocks of 16 columns whose mask bits share a word per lane.
CHUNK_BLOCKS = 32
# Accumulators that stay in registers where there are 32: the loop needs a few for weights, x and products. Where there
# are 16, a mask is compared and applied in registers of its own.
ACCUMULATORS, ACCUMULATORS_OF_16 = 28, 10
# Sums that must be under way at once so that additions do not wait for each other.
INDEPENDENT = 8


# Blocks a turn of the loop that sums rows alone, each with a partial sum of its own; so many sums a row.
ROW_UNROLL = 4
ROW_SUMS_KEPT = ROW_UNROLL * LANES


class RowShape(NamedTuple):
    """What a kernel over rows is specialised for; nm = 0 is a plain product.

    Attributes:
        dtype: of W, or the format of its codes. rows: of W that are read side by side, far apart, a stream of memory
            each. unroll: blocks of 16 columns per turn of the loop, a power of two. ahead: bytes of a stream asked for
            before their use; 0 leaves that to the hardware. gated: two matrices of the same shape, both without masks.
            dots: bf16 weights meet bf16 x, 32 columns at once (:mod:`~mglubench.kernels.dots_ir`), and ``unroll``
            counts those. vector: numbers of fp32 in a register; a block of 16 columns is a few of them. digits: bytes
            that each x is cut into, which meet codes as whole numbers (:mod:`~mglubench.kernels.digits_ir`), of one
            token at a time; 0: x is fp32. A turn of the loop is 128 columns then, whatever ``unroll`` says.
    """

    nm: int
    tile: int
    dtype: str
    rows: int = 1
    unroll: int = 2
    ahead: int = 0
    gated: bool = False
    dots: bool = False
    vector: int = LANES
    digits: int = 0

    @property
    def parts(self) -> int:
        """Vectors of a block."""
        return LANES // self.vector

    @property
    def x_bytes(self) -> int:
        """Bytes of an element of x as the loop reads it."""
        return 1 if self.digits else 2 if self.dots else 4

    @property
    def sums(self) -> int:
        """Sums of a row: nm gates and one total per token; gate and value of two matrices."""
        return (self.nm + 1 + self.gated) * self.tile

    @property
    def accumulators(self) -> int:
        """Sums that are under way at once."""
        return self.rows * self.sums

    @property
    def partials(self) -> int:
        """Independent partial sums per accumulator, so that a few additions do not wait for each other."""
        partials = 1
        if self.digits:
            return partials
        while 2 * partials <= self.unroll and 2 * partials * self.accumulators <= INDEPENDENT:
            partials *= 2
        return partials

    @property
    def coded(self) -> bool:
        """Whether W is of a format."""
        return self.dtype in FORMATS

    @property
    def itemsize(self) -> int:
        """Bytes of an element of the array that holds W: of its dtype, or one where it is of codes."""
        return ITEMSIZE.get(self.dtype, 1)

    @property
    def width(self) -> int:
        """Bytes of a block of weights."""
        return LANES * (FORMATS[self.dtype].bits if self.coded else 8 * self.itemsize) // 8

    @property
    def blocks_per_line(self) -> int:
        """What a loop unrolls, so many to a cache line."""
        return 1 if self.dots else LINE // self.width

    @property
    def fits(self) -> bool:
        """Whether sums and the masks of a chunk stay in registers."""
        return self.accumulators * self.partials + self.rows * self.nm <= room_for_sums()

    @property
    def lanes(self) -> int:
        """Rows of a stream that are summed before their activation: 16 sums, over a tile of tokens."""
        return LANES // self.tile


def room_for_sums() -> int:
    """Accumulators that stay in registers."""
    return ACCUMULATORS if target().registers > LANES else ACCUMULATORS_OF_16


def token_tile(nm: int, batch: int) -> int:
    """Tokens that share one pass over a row: a power of two whose nm + 1 sums per token fit the registers."""
    tile = 1
    while tile < 8 and tile < batch and 2 * tile * (nm + 1) <= room_for_sums():
        tile *= 2
    return tile


def as_bits(weight: torch.Tensor) -> Bits:
    """A numpy view of a contiguous tensor; 16-bit floats come as uint16, as numpy has no bfloat16, codes as bytes."""
    import torch

    plain = weight.detach()
    return plain.numpy() if plain.dtype in (torch.float32, torch.uint8) else plain.view(torch.uint16).numpy()


@cache
def rows_kernel(shape: RowShape) -> Callable[..., None]:
    """A Numba intrinsic ``rows(w, v, m, x, stride, blocks, w_apart, m_apart, out, out_apart, k_apart)``.

    Args of the intrinsic, all unsigned integers: addresses of the first row of W, of the same row of the other matrix
    (``gated``), of its masks (``row-lanes32``), of x (fp32, or bf16 for ``dots``; 16-column blocks); elements between
    tokens of x, number of blocks; bytes from one row to the next that is read beside it, and from its masks to the
    next's; address of the output, bytes from a row's sums to the next row's, and from a sum of one kind to the next
    kind: fp32 ``[rows, nm + 1, tile]``, gates first, total last.
    """
    from mglubench.kernels.numba_cpu_ir import rows_intrinsic

    return rows_intrinsic(shape)
