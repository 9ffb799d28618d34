"""The inner loop of ``mglu-numba-cpu``: one row of W against a tile of tokens, as LLVM vector code.

Numba vectorises no loop that adds under a bit mask, so the loop is written as LLVM IR: a 16-bit mask word becomes a
``<16 x i1>`` predicate, and ``select(bits, acc + p, acc)`` is what LLVM lowers to a masked add (AVX-512), a blend
(AVX2) or a bitwise select (NEON).

    for block in row:                      16 weights, nm mask words
        w = widen(W[block])                fp32, or bf16 / fp16 widened to fp32
        for token in tile:
            p = w * x[token, block]
            total[token] += p
            gate[token, i] += p  where bit of mask i

Multiplication and addition are kept apart (no fused multiply-add) in every sum, so that ``total - gate`` is exactly 0
for a mask of ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mglubench.kernels.cpu_rows import LANES, RowShape

WORDS_PER_LOAD = 4
# Bytes of W that are asked for ahead of their use. Without, a core waits for memory while it adds under masks: nm = 8
# took 1.5 times as long on a Xeon with AVX-512. From 2 to 8 KiB made no difference.
PREFETCH_BYTES = 4096


def row_intrinsic(shape: RowShape) -> Callable[..., None]:
    """The loop for one shape as a function that compiled code may call; see :func:`.cpu_rows.row_kernel`."""

    @intrinsic
    def row(typingctx, w, m, x, stride, blocks, out):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            _emit(builder, args, shape)
            return context.get_dummy_value()

        return types.void(types.uintp, types.uintp, types.uintp, types.intp, types.intp, types.uintp), codegen

    made: Callable[..., None] = row
    return made


class _Operands(NamedTuple):
    """LLVM values: addresses of W's row, of its mask words and of x, and the elements between tokens of x."""

    w: ir.Value
    m: ir.Value
    x: ir.Value
    stride: ir.Value


def _emit(builder: ir.IRBuilder, args: Sequence[ir.Value], shape: RowShape) -> None:
    """Emit a main loop of ``unroll`` blocks per step, a remainder loop of one, and the reduction."""
    w, m, x, stride, blocks, out = args
    operands = _Operands(w, m, x, stride)
    i64, f32 = ir.IntType(64), ir.FloatType()
    vector = ir.VectorType(f32, LANES)
    zero = ir.Constant(vector, [0.0] * LANES)
    unroll = shape.unroll

    steps = builder.udiv(blocks, ir.Constant(i64, unroll))
    start = [zero] * (shape.sums * unroll)
    partial = _loop(builder, (ir.Constant(i64, 0), steps), start, unroll, operands, shape)
    folded = [_tree(builder, partial[k :: shape.sums]) for k in range(shape.sums)]
    if unroll > 1:
        done = builder.mul(steps, ir.Constant(i64, unroll))
        folded = _loop(builder, (done, blocks), folded, 1, operands, shape)
    target = builder.inttoptr(out, f32.as_pointer())
    for k, value in enumerate(folded):
        builder.store(_across_lanes(builder, value), builder.gep(target, [ir.Constant(i64, k)]))


def _across_lanes(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Sum of a vector's lanes, halves upon halves; the same order for every sum."""
    i32, lanes = ir.IntType(32), LANES
    while lanes > 1:
        lanes //= 2
        low = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes)))
        high = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes, 2 * lanes)))
        value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return builder.extract_element(value, ir.Constant(i32, 0))


def _loop(
    builder: ir.IRBuilder,
    span: tuple[ir.Value, ir.Value],
    initial: list[ir.Value],
    unroll: int,
    operands: _Operands,
    shape: RowShape,
) -> list[ir.Value]:
    """``for k in range(*span)`` over ``unroll`` blocks each; returns the sums after it."""
    i64 = ir.IntType(64)
    vector = initial[0].type
    start, stop = span
    entry = builder.block
    body, done = builder.append_basic_block("body"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", start, stop), body, done)

    builder.position_at_end(body)
    k = builder.phi(i64)
    k.add_incoming(start, entry)
    sums = [builder.phi(vector) for _ in initial]
    for phi, value in zip(sums, initial, strict=True):
        phi.add_incoming(value, entry)
    updated: list[ir.Value] = []
    for u in range(unroll):
        block = builder.add(builder.mul(k, ir.Constant(i64, unroll)), ir.Constant(i64, u))
        updated += _block(builder, block, sums[u * shape.sums : (u + 1) * shape.sums], operands, shape)
    following = builder.add(k, ir.Constant(i64, 1))
    last = builder.block
    k.add_incoming(following, last)
    for phi, value in zip(sums, updated, strict=True):
        phi.add_incoming(value, last)
    builder.cbranch(builder.icmp_signed("<", following, stop), body, done)

    builder.position_at_end(done)
    results = [builder.phi(vector) for _ in initial]
    for phi, before, after in zip(results, initial, updated, strict=True):
        phi.add_incoming(before, entry)
        phi.add_incoming(after, last)
    return results


def _block(
    builder: ir.IRBuilder, block: ir.Value, sums: list[ir.Value], operands: _Operands, shape: RowShape
) -> list[ir.Value]:
    """Add 16 weights to every sum; ``sums`` is [nm + 1, tile], gates first, total last."""
    nm, tile, _ = shape
    i64 = ir.IntType(64)
    vector = sums[0].type
    _prefetch_weights(builder, operands.w, block, shape.dtype)
    weights = _load_weights(builder, operands.w, block, shape.dtype)
    bits = _load_bits(builder, operands.m, block, nm)
    out = list(sums)
    for t in range(tile):
        offset = builder.add(
            builder.mul(operands.stride, ir.Constant(i64, t)), builder.mul(block, ir.Constant(i64, LANES))
        )
        address = builder.add(operands.x, builder.mul(offset, ir.Constant(i64, 4)))
        tokens = builder.load(builder.inttoptr(address, vector.as_pointer()))
        tokens.align = 4
        product = builder.fmul(weights, tokens)
        for i in range(nm):
            k = i * tile + t
            out[k] = builder.select(bits[i], builder.fadd(sums[k], product), sums[k])
        out[nm * tile + t] = builder.fadd(sums[nm * tile + t], product)
    return out


def _load_bits(builder: ir.IRBuilder, m: ir.Value, block: ir.Value, nm: int) -> list[ir.Value]:
    """The nm mask words of a block as 16-lane predicates.

    Up to four words come with one integer load and are shifted apart: a load per word, straight into mask registers,
    was 7 % slower at nm = 8, where there are more masks than such registers.
    """
    i16, i64 = ir.IntType(16), ir.IntType(64)
    words = builder.gep(builder.inttoptr(m, i16.as_pointer()), [builder.mul(block, ir.Constant(i64, nm))])
    bits = []
    for first in range(0, nm, WORDS_PER_LOAD):
        count = min(WORDS_PER_LOAD, nm - first)
        several = ir.IntType(16 * count)
        address = builder.bitcast(builder.gep(words, [ir.Constant(i64, first)]), several.as_pointer())
        loaded = builder.load(address)
        loaded.align = 2
        for k in range(count):
            word = builder.trunc(builder.lshr(loaded, ir.Constant(several, 16 * k)), i16) if count > 1 else loaded
            bits.append(builder.bitcast(word, ir.VectorType(ir.IntType(1), LANES)))
    return bits


def _prefetch_weights(builder: ir.IRBuilder, w: ir.Value, block: ir.Value, dtype: str) -> None:
    """Ask for the weights that lie ``PREFETCH_BYTES`` behind the block's; beyond the matrix that has no effect."""
    i32, i64, pointer = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
    prefetch = builder.module.declare_intrinsic(
        "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
    )
    width = LANES * (4 if dtype == "float32" else 2)
    ahead = builder.add(builder.mul(block, ir.Constant(i64, width)), ir.Constant(i64, PREFETCH_BYTES))
    read, keep_close, data = i32(0), i32(3), i32(1)
    builder.call(prefetch, [builder.inttoptr(builder.add(w, ahead), pointer), read, keep_close, data])


def _load_weights(builder: ir.IRBuilder, w: ir.Value, block: ir.Value, dtype: str) -> ir.Value:
    """16 weights as fp32."""
    i16, i32, f32 = ir.IntType(16), ir.IntType(32), ir.FloatType()
    vector = ir.VectorType(f32, LANES)
    stored = {"float32": vector, "float16": ir.VectorType(ir.HalfType(), LANES), "bfloat16": ir.VectorType(i16, LANES)}[
        dtype
    ]
    value = builder.load(builder.gep(builder.inttoptr(w, stored.as_pointer()), [block]))
    value.align = 4 if dtype == "float32" else 2
    if dtype == "float32":
        return value
    if dtype == "float16":
        return builder.fpext(value, vector)
    wide = builder.zext(value, ir.VectorType(i32, LANES))
    return builder.bitcast(builder.shl(wide, ir.Constant(wide.type, [16] * LANES)), vector)


def _tree(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    while len(values) > 1:
        values = [builder.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
