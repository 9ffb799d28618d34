"""Reading W on a CPU as fast as its memory gives it: several rows at a time, as LLVM vector code.

One row at a time leaves a core waiting: its hardware follows a few streams at once, and a single one does not fill the
line buffers. Rows that lie far apart are read side by side, a stream each::

    for step in row:                        32 weights of every stream
        for stream in streams:
            sum[stream] += widen(W[row of stream, step])

so that nothing but loads, additions and, where ``ahead`` is not 0, requests for weights that many bytes on is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mglubench.kernels.cpu_rows import LANES
from mglubench.kernels.vector_ir import I64, across_lanes, ask_ahead, load_weights, loop

# Blocks of 16 weights of each stream per step, each with a sum of its own.
UNROLL = 2


class StreamShape(NamedTuple):
    """What a reader is specialised for: rows side by side, bytes asked for ahead (0: none), dtype of W."""

    streams: int
    ahead: int
    dtype: str

    @property
    def width(self) -> int:
        """Bytes of a block."""
        return LANES * (4 if self.dtype == "float32" else 2)


@cache
def streams_intrinsic(shape: StreamShape) -> Callable[..., None]:
    """A Numba intrinsic ``read(w, apart, blocks, out)``: the sums of ``streams`` rows.

    Args of the intrinsic, all integers: address of the first row, bytes from one row to the next that is read beside
    it, blocks per row, address of the sums, fp32 [streams].
    """

    @intrinsic
    def read(typingctx: Any, w: Any, apart: Any, blocks: Any, out: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> Any:
            _emit(builder, args, shape)
            return context.get_dummy_value()

        return types.void(types.uintp, types.intp, types.intp, types.uintp), codegen

    compiled: Callable[..., None] = read
    return compiled


def _emit(builder: ir.IRBuilder, args: Sequence[ir.Value], shape: StreamShape) -> None:
    w, apart, blocks, out = args
    i64, f32 = ir.IntType(64), ir.FloatType()
    rows = [builder.add(w, builder.mul(apart, ir.Constant(i64, k))) for k in range(shape.streams)]
    steps = builder.udiv(blocks, ir.Constant(i64, UNROLL))
    zero = ir.Constant(ir.VectorType(f32, LANES), [0.0] * LANES)
    sums = _loop(builder, (ir.Constant(i64, 0), steps), [zero] * (shape.streams * UNROLL), rows, UNROLL, shape)
    whole = [builder.fadd(sums[k], sums[k + shape.streams]) for k in range(shape.streams)]
    whole = _loop(builder, (builder.mul(steps, ir.Constant(i64, UNROLL)), blocks), whole, rows, 1, shape)
    target = builder.inttoptr(out, f32.as_pointer())
    for k, value in enumerate(whole):
        builder.store(across_lanes(builder, value), builder.gep(target, [ir.Constant(i64, k)]))


def _loop(
    builder: ir.IRBuilder,
    span: tuple[ir.Value, ir.Value],
    initial: list[ir.Value],
    rows: list[ir.Value],
    unroll: int,
    shape: StreamShape,
) -> list[ir.Value]:
    """``for k in range(*span)``: add ``unroll`` blocks of every row; returns the sums after it."""

    def body(k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        updated = []
        for number, total in enumerate(sums):
            row, u = rows[number % len(rows)], number // len(rows)
            block = builder.add(builder.mul(k, I64(unroll)), I64(u))
            if shape.ahead:
                ask_ahead(builder, row, block, shape.width, shape.ahead)
            updated.append(builder.fadd(total, load_weights(builder, row, block, shape.dtype)))
        return updated

    return loop(builder, span, initial, body)
