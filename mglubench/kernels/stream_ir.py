"""Reading W on a CPU as fast as its memory gives it: several rows at a time, as LLVM vector code.

One row at a time leaves a core waiting: its hardware follows a few streams at once, and a single one does not fill the
line buffers. Rows that lie far apart are read side by side, a stream each::

    for step in row:                        64 weights of every stream
        for stream in streams:
            sum[stream] += widen(W[row of stream, step])
        for stream in streams:              where ``ahead`` is not 0
            ask for W[row of stream, step], ``ahead`` bytes on

so that nothing but loads, additions and requests is left. Requests follow the loads of their step: between them, they
cost a few per cent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mglubench.kernels.cpu_rows import LANES, LINE
from mglubench.kernels.vector_ir import F32, I64, ZERO, across_lanes, ask_ahead, load_weights, loop, tree

# Blocks of 16 weights of each stream per step, each with a sum of its own: additions to one sum wait for each other.
UNROLL = 4


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
    rows = [builder.add(w, builder.mul(apart, I64(k))) for k in range(shape.streams)]
    steps = builder.udiv(blocks, I64(UNROLL))
    sums = _loop(builder, (I64(0), steps), [ZERO] * (shape.streams * UNROLL), rows, UNROLL, shape)
    sums = _loop(builder, (builder.mul(steps, I64(UNROLL)), blocks), sums, rows, 1, shape)
    target = builder.inttoptr(out, F32.as_pointer())
    for k in range(shape.streams):
        whole = tree(builder, sums[k :: shape.streams])
        builder.store(across_lanes(builder, whole), builder.gep(target, [I64(k)]))


def _loop(
    builder: ir.IRBuilder,
    span: tuple[ir.Value, ir.Value],
    initial: list[ir.Value],
    rows: list[ir.Value],
    unroll: int,
    shape: StreamShape,
) -> list[ir.Value]:
    """``for k in range(*span)``: add ``unroll`` blocks of every row to sums [UNROLL, rows]; returns them after it."""

    def body(k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        sums = list(sums)
        blocks = [builder.add(builder.mul(k, I64(unroll)), I64(u)) for u in range(unroll)]
        for u, block in enumerate(blocks):
            for number, row in enumerate(rows):
                at = u * shape.streams + number
                sums[at] = builder.fadd(sums[at], load_weights(builder, row, block, shape.dtype))
        for block in blocks[:: LINE // shape.width] if shape.ahead else ():
            for row in rows:
                ask_ahead(builder, row, block, shape.width, shape.ahead)
        return sums

    return loop(builder, span, initial, body)
