"""One row of W against a tile of tokens under k mask planes that lie apart, as LLVM vector code: the loop of Top-K.

As in :mod:`mglubench.kernels.numba_cpu_ir`, a 16-bit mask word becomes a ``<16 x i1>`` predicate and multiplication and
addition are kept apart; here each mask's words come from an address of their own, so that only masks in use are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16


@cache
def routed_row(masks: int, tile: int, dtype: str) -> Callable[..., None]:
    """A Numba intrinsic ``row(w, planes, x, stride, blocks, out)`` for k = ``masks`` planes and ``tile`` tokens.

    Args of the intrinsic, all integers: address of the row of W, of the k addresses (int64) of the row's mask words, of
    x (fp32, 16-column blocks), elements between tokens of x, number of blocks, address of the output: fp32
    ``[k + 1, tile]``, gates first, total last.
    """

    @intrinsic
    def row(typingctx, w, planes, x, stride, blocks, out):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            _emit(builder, args, masks, tile, dtype)
            return context.get_dummy_value()

        return types.void(types.uintp, types.uintp, types.uintp, types.intp, types.intp, types.uintp), codegen

    made: Callable[..., None] = row
    return made


def _emit(builder: ir.IRBuilder, args: list[ir.Value], masks: int, tile: int, dtype: str) -> None:
    w, planes, x, stride, blocks, out = args
    i16, i64, f32 = ir.IntType(16), ir.IntType(64), ir.FloatType()
    vector = ir.VectorType(f32, LANES)
    addresses = builder.inttoptr(planes, i64.as_pointer())
    words = [builder.inttoptr(builder.load(builder.gep(addresses, [i64(i)])), i16.as_pointer()) for i in range(masks)]
    zero = ir.Constant(vector, [0.0] * LANES)
    sums = [cgutils.alloca_once(builder, vector) for _ in range((masks + 1) * tile)]  # type: ignore[no-untyped-call]
    for accumulator in sums:
        builder.store(zero, accumulator)
    with cgutils.for_range(builder, blocks) as loop:
        block = loop.index
        weights = _weights(builder, w, block, dtype)
        bits = []
        for word in words:
            loaded = builder.load(builder.gep(word, [block]))
            loaded.align = 2
            bits.append(builder.bitcast(loaded, ir.VectorType(ir.IntType(1), LANES)))
        for t in range(tile):
            offset = builder.add(builder.mul(stride, i64(t)), builder.mul(block, i64(LANES)))
            tokens = builder.load(builder.inttoptr(builder.add(x, builder.mul(offset, i64(4))), vector.as_pointer()))
            tokens.align = 4
            product = builder.fmul(weights, tokens)
            for i in range(masks + 1):
                accumulator = sums[i * tile + t]
                before = builder.load(accumulator)
                after = builder.fadd(before, product)
                builder.store(builder.select(bits[i], after, before) if i < masks else after, accumulator)
    target = builder.inttoptr(out, f32.as_pointer())
    for k, accumulator in enumerate(sums):
        builder.store(_across_lanes(builder, builder.load(accumulator)), builder.gep(target, [i64(k)]))


def _weights(builder: ir.IRBuilder, w: ir.Value, block: ir.Value, dtype: str) -> ir.Value:
    """16 weights as fp32."""
    i16, i32, f32 = ir.IntType(16), ir.IntType(32), ir.FloatType()
    vector = ir.VectorType(f32, LANES)
    kinds = {"float32": f32, "float16": ir.HalfType(), "bfloat16": i16}
    stored = ir.VectorType(kinds[dtype], LANES)
    value = builder.load(builder.gep(builder.inttoptr(w, stored.as_pointer()), [block]))
    value.align = 4 if dtype == "float32" else 2
    if dtype == "float32":
        return value
    if dtype == "float16":
        return builder.fpext(value, vector)
    wide = builder.zext(value, ir.VectorType(i32, LANES))
    return builder.bitcast(builder.shl(wide, ir.Constant(wide.type, [16] * LANES)), vector)


def _across_lanes(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Sum of a vector's lanes, halves upon halves; the same order for every sum."""
    i32, lanes = ir.IntType(32), LANES
    while lanes > 1:
        lanes //= 2
        low = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes)))
        high = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes, 2 * lanes)))
        value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return builder.extract_element(value, ir.Constant(i32, 0))
