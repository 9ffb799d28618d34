"""The CPU kernels, compiled by Numba: MGLU in one pass over W with bit-packed masks, its fair rival, row sums."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mglubench.kernels.cpu_rows import LANES, row_kernel
from mglubench.kernels.kept_code import keep_code

Layer = Callable[..., None]


@cache
def mglu_layer(nm: int, tile: int, dtype: str, activation: str) -> Layer:
    """The compiled layer ``(weight[d, H], masks, x[B, H] fp32, y[batch, d] fp32, pieces)``."""
    import numba
    import numpy as np

    row = row_kernel(nm, tile, dtype)
    act = _activation(activation)
    itemsize = 4 if dtype == "float32" else 2

    # No "nnan" and "ninf": a non-finite weight or x must come out as NaN, as 0 * inf does in the definition.
    @numba.njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", nogil=True)
    def layer(weight, masks, x, y, pieces):  # type: ignore[no-untyped-def]
        d, columns = weight.shape
        batch = y.shape[0]
        blocks = columns // LANES
        for piece in numba.prange(pieces):
            sums = np.empty((nm + 1, tile), np.float32)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                w_row = weight.ctypes.data + r * columns * itemsize
                m_row = masks.ctypes.data + r * blocks * nm * 2
                for token in range(0, batch, tile):
                    row(w_row, m_row, x.ctypes.data + token * columns * 4, columns, blocks, sums.ctypes.data)
                    for t in range(min(tile, batch - token)):
                        total = sums[nm, t]
                        result = np.float32(0.0)
                        for i in range(nm):
                            result += act(sums[i, t]) * (total - sums[i, t])
                        y[token + t, r] = result if np.isfinite(total) else np.float32(np.nan)

    return keep_code(layer, "mglu", nm, tile, dtype, activation)


@cache
def glu_layer(tile: int, dtype: str, activation: str) -> Layer:
    """The compiled layer ``(gate[d, H], value[d, H], x[B, H] fp32, y[batch, d] fp32, pieces)``."""
    import numba
    import numpy as np

    row = row_kernel(0, tile, dtype)
    act = _activation(activation)
    itemsize = 4 if dtype == "float32" else 2

    @numba.njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", nogil=True)
    def layer(gate, value, x, y, pieces):  # type: ignore[no-untyped-def]
        d, columns = gate.shape
        batch = y.shape[0]
        blocks = columns // LANES
        for piece in numba.prange(pieces):
            sums = np.empty((2, tile), np.float32)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                offset = r * columns * itemsize
                for token in range(0, batch, tile):
                    x_tile = x.ctypes.data + token * columns * 4
                    row(gate.ctypes.data + offset, 0, x_tile, columns, blocks, sums.ctypes.data)
                    row(value.ctypes.data + offset, 0, x_tile, columns, blocks, sums.ctypes.data + tile * 4)
                    for t in range(min(tile, batch - token)):
                        y[token + t, r] = act(sums[0, t]) * sums[1, t]

    return keep_code(layer, "glu", tile, dtype, activation)


@cache
def row_sums(dtype: str) -> Layer:
    """The compiled reading of W ``(weight[d, H], ones[H] fp32, out[d] fp32, pieces)``: the loop above without masks."""
    import numba
    import numpy as np

    row = row_kernel(0, 1, dtype)
    itemsize = 4 if dtype == "float32" else 2

    @numba.njit(parallel=True, error_model="numpy", nogil=True)
    def layer(weight, ones, out, pieces):  # type: ignore[no-untyped-def]
        d, columns = weight.shape
        for piece in numba.prange(pieces):
            total = np.empty(1, np.float32)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                address = weight.ctypes.data + r * columns * itemsize
                row(address, 0, ones.ctypes.data, columns, columns // LANES, total.ctypes.data)
                out[r] = total[0]

    return keep_code(layer, "row sums", dtype)


@cache
def _activation(name: str) -> Callable[[float], float]:
    import math

    import numba
    import numpy as np

    def silu(v):  # type: ignore[no-untyped-def]
        return v / (np.float32(1.0) + np.exp(-v))

    def gelu(v):  # type: ignore[no-untyped-def]
        return np.float32(0.5) * v * (np.float32(1.0) + np.float32(math.erf(v * np.float32(0.7071067811865476))))

    def relu(v):  # type: ignore[no-untyped-def]
        return max(v, np.float32(0.0))

    compiled: Callable[[float], float] = numba.njit({"silu": silu, "gelu": gelu, "relu": relu}[name])
    return compiled
