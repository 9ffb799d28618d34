"""What the loops of the CPU kernels are written with in LLVM IR: vectors of 16 lanes, loops, loads, sums of lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from llvmlite import ir

from mglubench.kernels.cpu_rows import LANES, RowShape

I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR, WORDS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
ZERO = ir.Constant(VECTOR, [0.0] * LANES)


class Operands(NamedTuple):
    """LLVM values: addresses of the streams of W and of their masks, of x, the elements between tokens of x.

    Where W is of a format, those of the streams' scales as well.
    """

    streams: list[ir.Value]
    masks: list[ir.Value]
    x: ir.Value
    stride: ir.Value
    scales: Sequence[ir.Value] = ()


# A part of a row added to every sum: which part, and the sums before.
Step = Callable[[ir.IRBuilder, ir.Value, list[ir.Value], Operands, RowShape], list[ir.Value]]


def loop(
    builder: ir.IRBuilder,
    span: tuple[ir.Value, ir.Value],
    initial: list[ir.Value],
    body_of: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:
    """``for k in range(*span): values = body_of(k, values)``; the values after it."""
    start, stop = span
    entry = builder.block
    body, done = builder.append_basic_block("body"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_unsigned("<", start, stop), body, done)

    builder.position_at_end(body)
    k = builder.phi(I64)
    k.add_incoming(start, entry)
    values = [builder.phi(value.type) for value in initial]
    for phi, value in zip(values, initial, strict=True):
        phi.add_incoming(value, entry)
    updated = body_of(k, values)
    following, last = builder.add(k, I64(1)), builder.block
    k.add_incoming(following, last)
    for phi, value in zip(values, updated, strict=True):
        phi.add_incoming(value, last)
    builder.cbranch(builder.icmp_unsigned("<", following, stop), body, done)

    builder.position_at_end(done)
    results = [builder.phi(value.type) for value in initial]
    for phi, before, after in zip(results, initial, updated, strict=True):
        phi.add_incoming(before, entry)
        phi.add_incoming(after, last)
    return results


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c of vectors, rounded once where the processor can."""
    kind = ir.FunctionType(a.type, [a.type] * 3)
    fused = builder.module.declare_intrinsic(f"llvm.fmuladd.v{a.type.count}f32", (), kind)
    return builder.call(fused, [a, b, c])


def load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    """What lies at an address."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """A number in every lane."""
    kind = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def store_sum(builder: ir.IRBuilder, total: ir.Value, out: Sequence[ir.Value], place: tuple[int, int, int]) -> None:
    """Store a sum of a row.

    Args:
        out: address, bytes from a row's sums to the next row's, and from a sum of one kind to the next kind. place: the
            row, the kind and the token.
    """
    start, out_apart, k_apart = out
    row, k, token = place
    offset = builder.add(builder.mul(out_apart, I64(row)), builder.mul(k_apart, I64(k)))
    address = builder.add(builder.add(start, offset), I64(4 * token))
    builder.store(total, builder.inttoptr(address, F32.as_pointer()))


def ask_ahead(builder: ir.IRBuilder, row: ir.Value, block: ir.Value, width: int, ahead: int) -> None:
    """Ask for what lies ``ahead`` bytes behind a block, not to be kept; beyond the matrix that has no effect."""
    pointer = ir.IntType(8).as_pointer()
    prefetch = builder.module.declare_intrinsic(
        "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32])
    )
    address = builder.add(row, builder.add(builder.mul(block, I64(width)), I64(ahead)))
    read, use_once, data = I32(0), I32(0), I32(1)
    builder.call(prefetch, [builder.inttoptr(address, pointer), read, use_once, data])


def load_weights(builder: ir.IRBuilder, w: ir.Value, block: ir.Value, dtype: str, lanes: int = LANES) -> ir.Value:
    """The first weights of a block, a vector of them, as fp32."""
    kind = {"float32": F32, "float16": ir.HalfType(), "bfloat16": I16}[dtype]
    size = 4 if dtype == "float32" else 2
    place = builder.add(w, builder.mul(block, I64(LANES * size)))
    value = load(builder, place, ir.VectorType(kind, lanes), size)
    if dtype == "float32":
        return value
    vector, words = ir.VectorType(F32, lanes), ir.VectorType(I32, lanes)
    if dtype == "float16":
        return builder.fpext(value, vector)
    return builder.bitcast(builder.shl(builder.zext(value, words), ir.Constant(words, [16] * lanes)), vector)


def across_lanes(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Sum of a vector's lanes, halves upon halves; the same order for every sum."""
    lanes = value.type.count
    while lanes > 1:
        lanes //= 2
        low = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
        high = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes, 2 * lanes)))
        value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return builder.extract_element(value, I32(0))


def tree(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    """Sum of as many values as a power of two, pair by pair."""
    while len(values) > 1:
        values = [builder.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
