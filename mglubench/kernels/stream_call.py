"""Launching the readers of :mod:`~mglubench.kernels.stream_ir`: the sum of every row, several rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from mglubench.kernels.cpu_call import _alone
from mglubench.kernels.cpu_layers import Layer
from mglubench.kernels.cpu_rows import LANES, as_bits
from mglubench.kernels.cpu_threads import threads_used
from mglubench.kernels.kept_code import keep_code
from mglubench.kernels.on_device import dtype_of

if TYPE_CHECKING:
    import torch


def stream_sums_call(weight: torch.Tensor, streams: int, ahead: int = 0) -> Callable[[torch.Tensor], None]:
    """``call(sums)``: the sum of every row of weight [d, columns] into fp32 sums [d].

    Args:
        weight: columns are a multiple of 16. streams: rows that each thread reads side by side. ahead: bytes asked
            for before their use; 0 leaves that to the hardware.
    """

    bits, layer = as_bits(weight), stream_sums(streams, ahead, dtype_of(weight))
    pieces = min(bits.shape[0], threads_used())

    def call(sums: torch.Tensor) -> None:
        with _alone():
            layer(bits, sums.numpy(), pieces)

    return call


@cache
def stream_sums(streams: int, ahead: int, dtype: str) -> Layer:
    """The compiled reading of W ``(weight[d, H], out[d] fp32, pieces)``; a piece is ``streams`` runs of rows."""
    import numba
    import numpy as np

    from mglubench.kernels.stream_ir import StreamShape, streams_intrinsic

    several = streams_intrinsic(StreamShape(streams, ahead, dtype))
    one = streams_intrinsic(StreamShape(1, ahead, dtype))
    itemsize = 4 if dtype == "float32" else 2

    @numba.njit(parallel=True, error_model="numpy", nogil=True)
    def layer(weight, out, pieces):  # type: ignore[no-untyped-def]
        d, columns = weight.shape
        blocks, width = columns // LANES, columns * itemsize
        for piece in numba.prange(pieces):
            sums = np.empty(streams, np.float32)
            first, last = piece * d // pieces, (piece + 1) * d // pieces
            part = (last - first) // streams
            for r in range(first, first + part):
                several(weight.ctypes.data + r * width, part * width, blocks, sums.ctypes.data)
                for k in range(streams):
                    out[r + k * part] = sums[k]
            for r in range(first + part * streams, last):
                one(weight.ctypes.data + r * width, 0, blocks, sums.ctypes.data)
                out[r] = sums[0]

    return keep_code(layer, "streams", streams, ahead, dtype)
