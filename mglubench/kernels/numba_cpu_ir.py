"""The inner loop of the CPU kernels: rows of W against a tile of tokens, as LLVM vector code.

Numba vectorises no loop that adds under a bit mask, so the loop is written as LLVM IR: the bits of a mask become a
``<16 x i1>`` predicate, and ``select(bits, acc + p, acc)`` is what LLVM lowers to a masked add (AVX-512), a blend
(AVX2) or a bitwise select (NEON).

    for chunk in row:                          512 columns
        bits[row, i] = mask i of the chunk     16 lanes of 32 bits, kept in registers
        for block in chunk:                    16 columns
            for row in rows:                   rows that lie far apart, a stream of memory each
                w = widen(W[row, block])       fp32, or bf16 / fp16 widened to fp32
                for token in tile:
                    p = w * x[token, block]
                    total[row, token] += p
                    gate[row, token, i] += p   where bit `block` of bits[row, i] is set

A test of one bit in every lane makes a predicate in the unit that does it for nothing else; loading mask words into
predicate registers took twice the time of the additions (Zen 4: 4.6 against 3.2 ns a block at nm = 8).

Multiplication and addition are kept apart (no fused multiply-add) in every masked sum, so that ``total - gate`` is
exactly 0 for a mask of ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mglubench.kernels.cpu_rows import CHUNK_BLOCKS, LANES, RowShape

I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR, WORDS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
LINE = 64
ZERO = ir.Constant(VECTOR, [0.0] * LANES)


class _Operands(NamedTuple):
    """LLVM values: addresses of the streams of W and of their masks, of x, the elements between tokens of x."""

    streams: list[ir.Value]
    masks: list[ir.Value]
    x: ir.Value
    stride: ir.Value


def rows_intrinsic(shape: RowShape) -> Callable[..., None]:
    """The loop for one shape as a function that compiled code may call; see :func:`.cpu_rows.rows_kernel`."""

    @intrinsic
    def rows(typingctx, w, v, m, x, stride, blocks, w_apart, m_apart, out, out_apart, k_apart):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            _emit(builder, args, shape)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 11), codegen

    made: Callable[..., None] = rows
    return made


def _emit(builder: ir.IRBuilder, args: Sequence[ir.Value], shape: RowShape) -> None:
    """Emit whole chunks, then what is left block by block, then the sums across lanes."""
    w, v, m, x, stride, blocks, w_apart, m_apart, out, out_apart, k_apart = args
    apart = [builder.mul(w_apart, I64(a)) for a in range(shape.rows)]
    streams = [builder.add(matrix, step) for matrix in ([w, v] if shape.gated else [w]) for step in apart]
    masks = [builder.add(m, builder.mul(m_apart, I64(a))) for a in range(shape.rows)]
    operands = _Operands(streams, masks, x, stride)
    sums = [ZERO] * (shape.accumulators * shape.partials)

    if shape.nm:
        chunks = builder.udiv(blocks, I64(CHUNK_BLOCKS))
        sums = _loop(builder, (I64(0), chunks), sums, lambda c, inner: _chunk(builder, c, inner, operands, shape))
        whole = builder.mul(chunks, I64(CHUNK_BLOCKS))
    else:
        steps = builder.udiv(blocks, I64(shape.unroll))
        sums = _loop(builder, (I64(0), steps), sums, lambda k, inner: _step(builder, k, inner, operands, shape))
        whole = builder.mul(steps, I64(shape.unroll))

    def one(block: ir.Value, inner: list[ir.Value]) -> list[ir.Value]:
        return _block(builder, block, inner, 0, operands, shape, _words(builder, block, whole, operands, shape))

    sums = _loop(builder, (whole, blocks), sums, one)
    for number in range(shape.accumulators):
        total = across_lanes(builder, _tree(builder, sums[number :: shape.accumulators]))
        row, k, t = number // shape.sums, number % shape.sums // shape.tile, number % shape.tile
        offset = builder.add(builder.mul(out_apart, I64(row)), builder.mul(k_apart, I64(k)))
        address = builder.add(builder.add(out, offset), I64(4 * t))
        builder.store(total, builder.inttoptr(address, F32.as_pointer()))


def _loop(
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


def _chunk(
    builder: ir.IRBuilder, chunk: ir.Value, sums: list[ir.Value], operands: _Operands, shape: RowShape
) -> list[ir.Value]:
    """Add 512 columns to every sum."""
    first = builder.mul(chunk, I64(LINE * shape.nm))
    bits = []
    for row in range(shape.rows):
        address = builder.add(operands.masks[row], first)
        for i in range(shape.nm):
            word = _load(builder, builder.add(address, I64(LINE * i)), WORDS, 2)
            # Of "is set" LLVM makes "is clear" with the choices swapped, and of that no masked addition.
            bits.append(builder.xor(word, ir.Constant(WORDS, [0xFFFFFFFF] * LANES)))
    base = builder.mul(chunk, I64(CHUNK_BLOCKS))
    lowest = ir.Constant(WORDS, [1] * LANES)

    def step(k: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
        bit, inner = values[0], values[1:]
        for u in range(shape.unroll):
            block = builder.add(base, builder.add(builder.mul(k, I64(shape.unroll)), I64(u)))
            tests = [partial(_is_clear, builder, word, bit) for word in bits]
            inner = _block(builder, block, inner, u, operands, shape, tests)
            bit = builder.add(bit, bit)
        return [bit, *inner]

    return _loop(builder, (I64(0), I64(CHUNK_BLOCKS // shape.unroll)), [lowest, *sums], step)[1:]


def _step(
    builder: ir.IRBuilder, k: ir.Value, sums: list[ir.Value], operands: _Operands, shape: RowShape
) -> list[ir.Value]:
    """Add ``unroll`` blocks without masks to every sum."""
    for u in range(shape.unroll):
        block = builder.add(builder.mul(k, I64(shape.unroll)), I64(u))
        sums = _block(builder, block, sums, u, operands, shape, [])
    return sums


def _block(
    builder: ir.IRBuilder,
    block: ir.Value,
    sums: list[ir.Value],
    u: int,
    operands: _Operands,
    shape: RowShape,
    tests: Sequence[Callable[[], ir.Value]],
) -> list[ir.Value]:
    """Add 16 columns to every sum of partial set ``u``; ``sums`` is [partials, rows, nm + 1, tile], totals last."""
    nm, tile, first = shape.nm, shape.tile, u % shape.partials * shape.accumulators
    weights = []
    for stream in operands.streams:
        if shape.ahead and u % shape.blocks_per_line == 0:
            ask_ahead(builder, stream, block, shape.width, shape.ahead)
        weights.append(load_weights(builder, stream, block, shape.dtype))
    out = list(sums)
    tokens = [_tokens(builder, block, t, operands) for t in range(tile)]
    for row in range(shape.rows):
        if nm == 0:
            matrices = weights[row :: shape.rows]
            for k, weight in enumerate(matrices):
                for t in range(tile):
                    at = first + row * shape.sums + k * tile + t
                    out[at] = _multiply_add(builder, weight, tokens[t], out[at])
            continue
        products = [builder.fmul(weights[row], token) for token in tokens]
        for t, product in enumerate(products):
            at = first + row * shape.sums + nm * tile + t
            out[at] = builder.fadd(out[at], product)
        for i in range(nm):
            bits = tests[row * nm + i]()
            for t, product in enumerate(products):
                at = first + row * shape.sums + i * tile + t
                out[at] = builder.select(bits, builder.fadd(out[at], product), out[at])
    return out


def _tokens(builder: ir.IRBuilder, block: ir.Value, t: int, operands: _Operands) -> ir.Value:
    offset = builder.add(builder.mul(operands.stride, I64(t)), builder.mul(block, I64(LANES)))
    return _load(builder, builder.add(operands.x, builder.mul(offset, I64(4))), VECTOR, 4)


def _is_clear(builder: ir.IRBuilder, word: ir.Value, bit: ir.Value) -> ir.Value:
    return builder.icmp_unsigned("==", builder.and_(word, bit), ir.Constant(WORDS, [0] * LANES))


def _words(
    builder: ir.IRBuilder, block: ir.Value, whole: ir.Value, operands: _Operands, shape: RowShape
) -> list[Callable[[], ir.Value]]:
    """The predicates of a block behind the last chunk, whose masks are 16-bit words."""
    chunked = builder.mul(whole, I64(2 * shape.nm))
    offset = builder.add(chunked, builder.mul(builder.sub(block, whole), I64(2 * shape.nm)))

    def test(row: int, i: int) -> ir.Value:
        address = builder.add(builder.add(operands.masks[row], offset), I64(2 * i))
        return builder.bitcast(_load(builder, address, I16, 2), ir.VectorType(ir.IntType(1), LANES))

    return [partial(test, row, i) for row in range(shape.rows) for i in range(shape.nm)]


def _multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    fused = builder.module.declare_intrinsic(f"llvm.fmuladd.v{LANES}f32", (), kind)
    return builder.call(fused, [a, b, c])


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def ask_ahead(builder: ir.IRBuilder, row: ir.Value, block: ir.Value, width: int, ahead: int) -> None:
    """Ask for what lies ``ahead`` bytes behind a block, not to be kept; beyond the matrix that has no effect."""
    pointer = ir.IntType(8).as_pointer()
    prefetch = builder.module.declare_intrinsic(
        "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32])
    )
    address = builder.add(row, builder.add(builder.mul(block, I64(width)), I64(ahead)))
    read, use_once, data = I32(0), I32(0), I32(1)
    builder.call(prefetch, [builder.inttoptr(address, pointer), read, use_once, data])


def load_weights(builder: ir.IRBuilder, w: ir.Value, block: ir.Value, dtype: str) -> ir.Value:
    """16 weights as fp32."""
    stored = {"float32": VECTOR, "float16": ir.VectorType(ir.HalfType(), LANES), "bfloat16": ir.VectorType(I16, LANES)}[
        dtype
    ]
    width = LANES * (4 if dtype == "float32" else 2)
    value = _load(builder, builder.add(w, builder.mul(block, I64(width))), stored, 4 if dtype == "float32" else 2)
    if dtype == "float32":
        return value
    if dtype == "float16":
        return builder.fpext(value, VECTOR)
    return builder.bitcast(builder.shl(builder.zext(value, WORDS), ir.Constant(WORDS, [16] * LANES)), VECTOR)


def across_lanes(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Sum of a vector's lanes, halves upon halves; the same order for every sum."""
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        low = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
        high = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes, 2 * lanes)))
        value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return builder.extract_element(value, I32(0))


def _tree(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    while len(values) > 1:
        values = [builder.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
