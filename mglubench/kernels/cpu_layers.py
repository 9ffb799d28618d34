"""The CPU kernels, compiled by Numba: MGLU in one pass over W with bit-packed masks, its fair rival, row sums.

The rows of W are cut into as many bands as a kernel reads rows side by side. Threads take a few rows of every band at a
time from a common counter, so that all finish together::

    band 0   | 0 | 1 | 2 | ...      turn 1 belongs to whichever thread comes for it: the same
    band 1   | 0 | 1 | 2 | ...      few rows of each band, a stream of memory each
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from mglubench.kernels.cpu_rows import LANES, LINE, ROW_UNROLL, RowShape, rows_kernel
from mglubench.kernels.kept_code import keep_code

Layer = Callable[..., None]
# Functions of Numba, which has no types.
Compiled = Any


@cache
def mglu_layer(shape: RowShape, activation: str) -> Layer:
    """The compiled layer ``(weight[d, row], masks, x[B, H], y[batch, d], threads)``."""
    import numba
    import numpy as np

    from mglubench.kernels.activation_ir import next_intrinsic

    kernel, activate, next_of, share_of = rows_kernel(shape), _activation(activation), next_intrinsic(), _share()
    tokens_of = _tokens(shape)
    nm, tile, rows, many = shape.nm, shape.tile, shape.rows, shape.lanes
    itemsize, x_bytes, stored = shape.itemsize, shape.x_bytes, _stored(shape.dots)

    # No "nnan" and "ninf": a non-finite weight or x must come out as NaN, as 0 * inf does in the definition.
    @numba.njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", nogil=True)
    def layer(weight, masks, x, y, threads):  # type: ignore[no-untyped-def]
        d, columns = weight.shape[0], x.shape[1]
        batch, blocks = y.shape[0], columns // LANES
        tokens, counter = tokens_of(x, y), np.zeros(1, np.int64)
        w_row, m_row = weight.shape[1] * itemsize, blocks * nm * 2
        for _ in numba.prange(min(threads, threads * tokens.shape[0])):
            sums = np.empty((nm + 1, rows, LANES), np.float32)
            acted, result = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
            while True:
                turn = next_of(counter.ctypes.data)
                first, count, streams, apart = share_of(turn, d, rows, many)
                if not count:
                    break
                for token in range(0, batch, tile):
                    for j in range(count):
                        kernel(
                            weight.ctypes.data + (first + j) * w_row,
                            0,
                            masks.ctypes.data + (first + j) * m_row,
                            tokens.ctypes.data + token * tokens.shape[1] * x_bytes,
                            columns,
                            blocks,
                            apart * w_row,
                            apart * m_row,
                            sums.ctypes.data + j * tile * 4,
                            LANES * 4,
                            rows * LANES * 4,
                        )
                    for a in range(streams):
                        result[:] = 0.0
                        for i in range(nm):
                            activate(sums[i, a], acted)
                            for lane in range(LANES):
                                result[lane] += acted[lane] * (sums[nm, a, lane] - sums[i, a, lane])
                        for j in range(count):
                            for t in range(min(tile, batch - token)):
                                lane = j * tile + t
                                if not np.isfinite(sums[nm, a, lane]):
                                    result[lane] = np.float32(np.nan)
                                y[token + t, first + a * apart + j] = stored(result, lane)

    return keep_code(layer, "mglu", *shape, activation)


@cache
def glu_layer(shape: RowShape, activation: str) -> Layer:
    """The compiled layer ``(gate[d, row], value[d, row], x[B, H], y[batch, d], threads)``; a gated shape."""
    import numba
    import numpy as np

    from mglubench.kernels.activation_ir import next_intrinsic

    kernel, activate, next_of, share_of = rows_kernel(shape), _activation(activation), next_intrinsic(), _share()
    tokens_of = _tokens(shape)
    tile, rows, many = shape.tile, shape.rows, shape.lanes
    itemsize, x_bytes, stored = shape.itemsize, shape.x_bytes, _stored(shape.dots)

    @numba.njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", nogil=True)
    def layer(gate, value, x, y, threads):  # type: ignore[no-untyped-def]
        d, columns = gate.shape[0], x.shape[1]
        batch, blocks = y.shape[0], columns // LANES
        tokens, counter = tokens_of(x, y), np.zeros(1, np.int64)
        w_row = gate.shape[1] * itemsize
        for _ in numba.prange(min(threads, threads * tokens.shape[0])):
            sums = np.empty((2, rows, LANES), np.float32)
            acted = np.empty(LANES, np.float32)
            while True:
                turn = next_of(counter.ctypes.data)
                first, count, streams, apart = share_of(turn, d, rows, many)
                if not count:
                    break
                for token in range(0, batch, tile):
                    for j in range(count):
                        kernel(
                            gate.ctypes.data + (first + j) * w_row,
                            value.ctypes.data + (first + j) * w_row,
                            0,
                            tokens.ctypes.data + token * tokens.shape[1] * x_bytes,
                            columns,
                            blocks,
                            apart * w_row,
                            0,
                            sums.ctypes.data + j * tile * 4,
                            LANES * 4,
                            rows * LANES * 4,
                        )
                    for a in range(streams):
                        activate(sums[0, a], acted)
                        for j in range(count):
                            for t in range(min(tile, batch - token)):
                                lane = j * tile + t
                                acted[lane] *= sums[1, a, lane]
                                y[token + t, first + a * apart + j] = stored(acted, lane)

    return keep_code(layer, "glu", *shape, activation)


@cache
def row_sums(dtype: str) -> Layer:
    """The compiled reading of W ``(weight[d, H], ones[H] fp32, out[d] fp32, pieces)``: one row after the other."""
    import numba
    import numpy as np

    kernel = rows_kernel(RowShape(0, 1, dtype, unroll=ROW_UNROLL))
    itemsize = 4 if dtype == "float32" else 2

    @numba.njit(parallel=True, error_model="numpy", nogil=True)
    def layer(weight, ones, out, pieces):  # type: ignore[no-untyped-def]
        d, columns = weight.shape
        for piece in numba.prange(pieces):
            total = np.empty(1, np.float32)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                address = weight.ctypes.data + r * columns * itemsize
                kernel(address, 0, 0, ones.ctypes.data, columns, columns // LANES, 0, 0, total.ctypes.data, 0, 0)
                out[r] = total[0]

    return keep_code(layer, "row sums", dtype)


@cache
def _tokens(shape: RowShape) -> Compiled:
    """``tokens_of(x[B, H], y)``: x as the loop of a shape reads it; no token, and NaN in y, if it cannot be that."""
    import numba
    import numpy as np

    def as_they_are(x, y):  # type: ignore[no-untyped-def]
        return x

    if not shape.digits:
        return numba.njit(inline="always")(as_they_are)

    from mglubench.kernels.split_ir import digit_bytes, split_intrinsic

    size_of: Compiled = numba.njit(digit_bytes)
    split, digits = split_intrinsic(shape), shape.digits

    def cut(x, y):  # type: ignore[no-untyped-def]
        blocks = x.shape[1] // LANES
        size = size_of(digits, blocks)
        room = np.empty(x.shape[0] * size + LINE, np.uint8)
        start = -room.ctypes.data % LINE
        held = room[start : start + x.shape[0] * size].reshape((x.shape[0], size))
        for token in range(x.shape[0]):
            split(x.ctypes.data + token * x.shape[1] * 4, blocks, held.ctypes.data + token * size)
            if np.isnan(held[token, :4].view(np.float32)[0]):
                y[:] = np.nan
                return held[:0]
        return held

    return numba.njit(cut)


@cache
def _share() -> Callable[..., tuple[int, int, int, int]]:
    """``share_of(turn, d, rows, many)``: first row, rows from there (none: all is done), streams, rows between."""
    import numba

    def share_of(turn, d, rows, many):  # type: ignore[no-untyped-def]
        band = d // rows
        turns = (band + many - 1) // many
        if turn < turns:
            return turn * many, min(many, band - turn * many), rows, band
        # Behind the bands a few rows may be left, less than one of each: one a turn, read by every stream.
        first = band * rows + turn - turns
        return first, 1 if first < d else 0, 1, 0

    compiled: Callable[..., tuple[int, int, int, int]] = numba.njit(inline="always")(share_of)
    return compiled


@cache
def _stored(narrow: bool) -> Callable[..., object]:
    """``stored(values, lane)``: an fp32 as it lies in y, or as the nearest bf16 (the even one of two)."""
    import numba
    import numpy as np

    def as_it_is(values, lane):  # type: ignore[no-untyped-def]
        return values[lane]

    def nearest(values, lane):  # type: ignore[no-untyped-def]
        if np.isnan(values[lane]):
            return np.uint16(0x7FC0)
        bits = np.int64(values.view(np.uint32)[lane])
        return np.uint16((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)

    compiled: Callable[..., object] = numba.njit(inline="always")(nearest if narrow else as_it_is)
    return compiled


@cache
def _activation(name: str) -> Callable[..., None]:
    """``activate(source, target)``, 16 fp32 each."""
    import math

    import numba
    import numpy as np

    if name == "silu":
        from mglubench.kernels.activation_ir import silu_intrinsic

        several = silu_intrinsic()

        def silu(source, target):  # type: ignore[no-untyped-def]
            several(source.ctypes.data, target.ctypes.data)

    def gelu(source, target):  # type: ignore[no-untyped-def]
        half, root = np.float32(0.5), np.float32(0.7071067811865476)
        for lane in range(LANES):
            v = source[lane]
            target[lane] = half * v * (np.float32(1.0) + np.float32(math.erf(v * root)))

    def relu(source, target):  # type: ignore[no-untyped-def]
        for lane in range(LANES):
            target[lane] = max(source[lane], np.float32(0.0))

    chosen = silu if name == "silu" else {"gelu": gelu, "relu": relu}[name]
    compiled: Callable[..., None] = numba.njit(chosen)
    return compiled
