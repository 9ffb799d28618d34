"""The Numba CUDA kernels, as factories: compiled for a GPU, ahead of time for any GPU, or run in the simulator.

Arrays of all kernels: w [d, columns] and x [batch, h] of int16 bits (fp16, bf16) or float32, y [batch, d] likewise.

    naive    a thread per row                    masks: bytes
    splitk   a warp per row and range of k       masks: bytes;    sums meet in atomics, a second kernel activates
    packed   a warp per row, 1024-column chunks  masks: row-1024; 16-byte loads, shuffles, activation in the same kernel
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from mglubench.kernels.numba_cuda_ir import DeviceFunction, Primitives, cuda_module, device_function

THREADS = 128
WARPS = THREADS // 32
CHUNK = 1024


class Special(NamedTuple):
    """What a kernel is specialised for."""

    nm: int
    dtype: str
    activation: str


class Scalars(NamedTuple):
    """Device functions: element to float32, float32 to element, the activation."""

    load: DeviceFunction
    store: DeviceFunction
    activate: DeviceFunction


@cache
def scalar_functions(special: Special, use: Primitives) -> Scalars:
    """Conversions and the activation, for kernels that read one element at a time."""
    import numpy as np

    half_to_float, float_to_half, bits_to_float, float_to_bits = use[1:5]

    def load_half(bits):  # type: ignore[no-untyped-def]
        return half_to_float(bits)

    def store_half(value):  # type: ignore[no-untyped-def]
        return float_to_half(value)

    def load_bfloat(bits):  # type: ignore[no-untyped-def]
        return bits_to_float(np.int32(np.int32(bits) << np.int32(16)))

    def store_bfloat(value):  # type: ignore[no-untyped-def]
        # To nearest, ties to even; the carry of a NaN's payload must not reach the exponent.
        if value != value:
            return np.int16(0x7FC0)
        bits = np.int64(float_to_bits(value))
        return np.int16((bits + np.int64(0x7FFF) + ((bits >> np.int64(16)) & np.int64(1))) >> np.int64(16))

    def keep(value):  # type: ignore[no-untyped-def]
        return np.float32(value)

    def silu(v):  # type: ignore[no-untyped-def]
        return v / (np.float32(1.0) + np.float32(math.exp(-v)))

    def gelu(v):  # type: ignore[no-untyped-def]
        return np.float32(0.5) * v * (np.float32(1.0) + np.float32(math.erf(v * np.float32(0.7071067811865476))))

    def relu(v):  # type: ignore[no-untyped-def]
        return max(v, np.float32(0.0))

    load = {"float16": load_half, "bfloat16": load_bfloat, "float32": keep}[special.dtype]
    store = {"float16": store_half, "bfloat16": store_bfloat, "float32": keep}[special.dtype]
    activate = {"silu": silu, "gelu": gelu, "relu": relu}[special.activation]
    return Scalars(device_function(load), device_function(store), device_function(activate))


def naive(special: Special, use: Primitives) -> Callable[..., None]:
    """``kernel(w, masks[d, h], x, y)``; grid (rows / THREADS, batch), block THREADS."""
    import numpy as np

    cuda = cuda_module()
    nm, count = special.nm, 2 * special.nm
    load, store, activate = scalar_functions(special, use)

    def kernel(w, masks, x, y):  # type: ignore[no-untyped-def]
        row, token = cuda.blockIdx.x * THREADS + cuda.threadIdx.x, cuda.blockIdx.y
        if row < y.shape[1]:
            sums = cuda.local.array(count, np.float32)
            for i in range(2 * nm):
                sums[i] = np.float32(0.0)
            for k in range(x.shape[1]):
                product = load(w[row, k]) * load(x[token, k])
                bits = np.int32(masks[row, k])
                for i in range(nm):
                    if (bits >> i) & 1:
                        sums[2 * i] += product
                    else:
                        sums[2 * i + 1] += product
            result = np.float32(0.0)
            for i in range(nm):
                result += activate(sums[2 * i]) * sums[2 * i + 1]
            y[token, row] = store(np.float32(result + (sums[0] + sums[1]) * np.float32(0.0)))

    return kernel


def splitk_sums(special: Special, use: Primitives) -> Callable[..., None]:
    """``kernel(w, masks[d, h], x, partial[batch, 2 nm, d], columns)``; grid (rows / WARPS, h / columns, batch)."""
    import numpy as np

    cuda = cuda_module()
    nm, count, shuffle = special.nm, 2 * special.nm, use.shuffle
    load, _, _ = scalar_functions(special, use)

    def kernel(w, masks, x, partial, columns):  # type: ignore[no-untyped-def]
        lane = cuda.threadIdx.x % 32
        row, token = cuda.blockIdx.x * WARPS + cuda.threadIdx.x // 32, cuda.blockIdx.z
        rows = partial.shape[2]
        begin = cuda.blockIdx.y * columns
        end = min(begin + columns, x.shape[1])
        sums = cuda.local.array(count, np.float32)
        for i in range(2 * nm):
            sums[i] = np.float32(0.0)
        if row < rows:
            for k in range(begin + lane, end, 32):
                product = load(w[row, k]) * load(x[token, k])
                bits = np.int32(masks[row, k])
                for i in range(nm):
                    if (bits >> i) & 1:
                        sums[2 * i] += product
                    else:
                        sums[2 * i + 1] += product
        for i in range(2 * nm):
            value = sums[i]
            for step in range(5):
                value += shuffle(value, 16 >> step)
            if lane == 0 and row < rows:
                cuda.atomic.add(partial, (token, i, row), value)

    return kernel


def splitk_activate(special: Special, use: Primitives) -> Callable[..., None]:
    """``kernel(partial, y)``: y from the sums, which are zeroed for the next launch; grid (rows / THREADS, batch)."""
    import numpy as np

    cuda = cuda_module()
    nm = special.nm
    _, store, activate = scalar_functions(special, use)

    def kernel(partial, y):  # type: ignore[no-untyped-def]
        row, token = cuda.blockIdx.x * THREADS + cuda.threadIdx.x, cuda.blockIdx.y
        if row < y.shape[1]:
            result = (partial[token, 0, row] + partial[token, 1, row]) * np.float32(0.0)
            for i in range(nm):
                result += activate(partial[token, 2 * i, row]) * partial[token, 2 * i + 1, row]
                partial[token, 2 * i, row] = np.float32(0.0)
                partial[token, 2 * i + 1, row] = np.float32(0.0)
            y[token, row] = store(np.float32(result))

    return kernel


def packed(special: Special, use: Primitives) -> Callable[..., None]:
    """``kernel(w, masks, x, y, h)``; w, masks and x are flat int32 views, rows of w and x padded to 1024 columns.

    Grid (rows / WARPS, batch). Of a chunk, lane l takes columns 256 u + 8 l + 0..7 for u = 0..3: one 16-byte load of
    w and x each (two for fp32), and one 32-bit word of every mask per chunk. A gate adds the very products that the
    total adds, in the same order, so that ``total - gate`` is exactly 0 for a mask of ones.
    """
    import numpy as np

    cuda = cuda_module()
    nm, count, shuffle, load4 = special.nm, special.nm + 1, use.shuffle, use.load4
    _, store, activate = scalar_functions(special, use)
    unpack = _unpack_word(special, use)
    per_word = 1 if special.dtype == "float32" else 2
    loads = 8 // (4 * per_word)
    fours = nm // 4 * 4

    def kernel(w, masks, x, y, h):  # type: ignore[no-untyped-def]
        lane = cuda.threadIdx.x % 32
        rows, token = y.shape[1], cuda.blockIdx.y
        row = cuda.blockIdx.x * WARPS + cuda.threadIdx.x // 32
        clamped = min(row, rows - 1)
        chunks = (h + CHUNK - 1) // CHUNK
        words = cuda.local.array(nm, np.int32)
        sums = cuda.local.array(count, np.float32)
        for i in range(nm + 1):
            sums[i] = np.float32(0.0)
        for chunk in range(chunks):
            at = (np.int64(clamped) * chunks + chunk) * (32 * nm)
            for i in range(0, fours, 4):
                a, b, c, e = load4(masks, at + i * 32 + lane * 4)
                words[i], words[i + 1], words[i + 2], words[i + 3] = a, b, c, e
            if nm % 4 >= 2:
                words[fours] = masks[at + fours * 32 + lane * 2]
                words[fours + 1] = masks[at + fours * 32 + lane * 2 + 1]
            if nm % 2 == 1:
                words[nm - 1] = masks[at + (nm - 1) * 32 + lane]
            for u in range(4):
                for part in range(loads):
                    column = chunk * CHUNK + 256 * u + 8 * lane + 4 * per_word * part
                    ws = load4(w, (np.int64(clamped) * chunks * CHUNK + column) // per_word)
                    xs = load4(x, (np.int64(token) * chunks * CHUNK + column) // per_word)
                    for v in range(4):
                        w_low, w_high = unpack(ws[v])
                        x_low, x_high = unpack(xs[v])
                        first = 8 * u + (4 * part + v) * per_word
                        product = w_low * x_low
                        sums[nm] += product
                        for i in range(nm):
                            sums[i] += product if (words[i] >> first) & 1 else np.float32(0.0)
                        if per_word == 2:
                            product = w_high * x_high
                            sums[nm] += product
                            for i in range(nm):
                                sums[i] += product if (words[i] >> (first + 1)) & 1 else np.float32(0.0)
        total = sums[nm]
        for step in range(5):
            total += shuffle(total, 16 >> step)
        result = total * np.float32(0.0)
        for i in range(nm):
            gate = sums[i]
            for step in range(5):
                gate += shuffle(gate, 16 >> step)
            result += activate(gate) * (total - gate)
        if lane == 0 and row < rows:
            y[token, row] = store(np.float32(result))

    return kernel


def _unpack_word(special: Special, use: Primitives) -> DeviceFunction:
    """A device function: the one or two elements of a 32-bit word as float32, the lower column first."""
    import numpy as np

    half_to_float, bits_to_float = use.half_to_float, use.bits_to_float

    def halves(word):  # type: ignore[no-untyped-def]
        return half_to_float(np.int16(word)), half_to_float(np.int16(word >> 16))

    def bfloats(word):  # type: ignore[no-untyped-def]
        return bits_to_float(np.int32(word << 16)), bits_to_float(np.int32(word & np.int32(-65536)))

    def single(word):  # type: ignore[no-untyped-def]
        return bits_to_float(word), np.float32(0.0)

    return device_function({"float16": halves, "bfloat16": bfloats, "float32": single}[special.dtype])
