"""Top-K on a CPU: the sums of a routed layer in one pass over W, only with masks that some token keeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from mglubench.kernels.cpu_rows import LANES, as_bits, token_tile
from mglubench.kernels.cpu_threads import threads_used
from mglubench.kernels.on_device import dtype_of
from mglubench.layer.masks import round_up

if TYPE_CHECKING:
    import torch

WORD_BYTES = 2
# Enough to even out a core that was taken away for a moment.
PIECES_PER_THREAD = 8


def routed_sums(x: torch.Tensor, weight: torch.Tensor, planes: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
    """s_i = x (M_i * W)^T of the k masks in use, then t = x W^T: float32 [k + 1, tokens, d] of x [tokens, h].

    Args:
        weight: [d, columns], rows padded to a multiple of 16. planes: uint8 [nm, d, columns / 8], bit j of byte b is
            column 8 b + j. used: int64 [k], the masks to read, at least one.
    """
    import numpy as np
    import torch

    tokens, d = x.shape[0], weight.shape[0]
    tile = token_tile(len(used), tokens)
    wide = torch.zeros((round_up(tokens, tile), weight.shape[1]))
    wide[:tokens, : x.shape[1]] = x
    sums = torch.empty((len(used) + 1, tokens, d))
    pieces = min(d, threads_used() * PIECES_PER_THREAD)
    words = planes.numpy().view(np.uint16)
    layer = _layer(len(used), tile, dtype_of(weight))
    layer(as_bits(weight), words, used.numpy(), wide.numpy(), sums.numpy(), pieces)
    return sums


@cache
def _layer(masks: int, tile: int, dtype: str) -> Callable[..., None]:
    """The compiled sums ``(weight[d, H], words[nm, d, blocks], used[k], x[B, H], out[k + 1, batch, d], pieces)``."""
    import numba
    import numpy as np

    from mglubench.kernels.routed_ir import routed_row

    row = routed_row(masks, tile, dtype)
    itemsize = 4 if dtype == "float32" else 2

    @numba.njit(parallel=True, error_model="numpy", nogil=True)
    def layer(weight, words, used, x, out, pieces):  # type: ignore[no-untyped-def]
        d, columns = weight.shape
        batch, blocks = out.shape[1], columns // LANES
        for piece in numba.prange(pieces):
            sums = np.empty((masks + 1, tile), np.float32)
            rows = np.empty(masks, np.int64)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                for i in range(masks):
                    rows[i] = words.ctypes.data + (used[i] * d + r) * blocks * WORD_BYTES
                w_row = weight.ctypes.data + r * columns * itemsize
                for token in range(0, batch, tile):
                    x_tile = x.ctypes.data + token * columns * 4
                    row(w_row, rows.ctypes.data, x_tile, columns, blocks, sums.ctypes.data)
                    for t in range(min(tile, batch - token)):
                        for i in range(masks + 1):
                            out[i, token + t, r] = sums[i, t]

    compiled: Callable[..., None] = layer
    return compiled
