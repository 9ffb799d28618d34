"""The inner loop of the CPU kernels: rows of W against a tile of tokens, as LLVM vector code.

Numba vectorises no loop that adds under a bit mask, so the loop is written as LLVM IR: the bits of a mask become a
``<16 x i1>`` predicate, and ``select(bits, acc + p, acc)`` is what LLVM lowers to a masked add of AVX-512. Registers of
AVX2 hold 8 numbers, those of NEON 4: there a chunk is walked part by part, lanes 0 to 7 of all its blocks first, and
``acc + select(bits, p, 0)`` becomes a bitwise and and an addition.

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

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mglubench.kernels.code_ir import load_codes, part_bytes, row_scale, scales_of
from mglubench.kernels.cpu_rows import CHUNK_BLOCKS, LINE, RowShape
from mglubench.kernels.digits_ir import emit_digits
from mglubench.kernels.dots_ir import HALF_BLOCKS, masked_half, plain_step
from mglubench.kernels.vector_ir import (
    F32,
    I16,
    I32,
    I64,
    Operands,
    Step,
    across_lanes,
    ask_ahead,
    load,
    load_weights,
    loop,
    multiply_add,
    store_sum,
    tree,
)


def rows_intrinsic(shape: RowShape) -> Callable[..., None]:
    """The loop for one shape as a function that compiled code may call; see :func:`.cpu_rows.rows_kernel`."""

    @intrinsic
    def rows(typingctx, w, v, m, x, stride, blocks, w_apart, m_apart, out, out_apart, k_apart):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            emit(builder, args, shape)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 11), codegen

    made: Callable[..., None] = rows
    return made


def emit(builder: ir.IRBuilder, args: Sequence[ir.Value], shape: RowShape) -> None:
    """Emit whole chunks, then what is left block by block, then the sums across lanes."""
    w, v, m, x, stride, blocks, w_apart, m_apart, out, out_apart, k_apart = args
    apart = [builder.mul(w_apart, I64(a)) for a in range(shape.rows)]
    streams = [builder.add(matrix, step) for matrix in ([w, v] if shape.gated else [w]) for step in apart]
    masks = [builder.add(m, builder.mul(m_apart, I64(a))) for a in range(shape.rows)]
    scales = [scales_of(builder, row, blocks, shape.dtype) for row in streams] if shape.coded else []
    operands = Operands(streams, masks, x, stride, scales)
    if shape.digits:
        emit_digits(builder, operands, blocks, (out, out_apart, k_apart), shape)
        return
    sums = [_all(ir.VectorType(F32, shape.vector), 0.0)] * (shape.accumulators * shape.partials)

    body, blocks_of_step, most = _step_of(shape)
    whole = builder.mul(builder.udiv(blocks, I64(most * blocks_of_step)), I64(most * blocks_of_step))
    steps = builder.udiv(whole, I64(blocks_of_step))
    sums = loop(builder, (I64(0), steps), sums, lambda k, inner: body(builder, k, inner, operands, shape))

    def one(block: ir.Value, inner: list[ir.Value]) -> list[ir.Value]:
        for part in range(shape.parts):
            tests = _words(builder, block, whole, part, operands, shape)
            inner = _block(builder, block, inner, (0, part), operands, shape, tests)
        return inner

    sums = loop(builder, (whole, blocks), sums, one)
    for number in range(shape.accumulators):
        total = across_lanes(builder, tree(builder, sums[number :: shape.accumulators]))
        row, k, t = number // shape.sums, number % shape.sums // shape.tile, number % shape.tile
        if scales:
            total = row_scale(builder, total, scales[row + shape.rows * k * shape.gated], shape.dtype)
        store_sum(builder, total, (out, out_apart, k_apart), (row, k, t))


def _step_of(shape: RowShape) -> tuple[Step, int, int]:
    """The body of the loop over whole chunks of masks, the blocks that it adds, and how many make a chunk."""
    if shape.nm:
        return (masked_half, HALF_BLOCKS, 2) if shape.dots else (_chunk, CHUNK_BLOCKS, 1)
    return (plain_step, 2 * shape.unroll, 1) if shape.dots else (_step, shape.unroll, 1)


def _chunk(
    builder: ir.IRBuilder, chunk: ir.Value, sums: list[ir.Value], operands: Operands, shape: RowShape
) -> list[ir.Value]:
    """Add 512 columns to every sum; of narrow vectors first the first part of every block, which is then cached."""
    for part in range(shape.parts):
        sums = _part_of_chunk(builder, chunk, sums, part, operands, shape)
    return sums


def _part_of_chunk(
    builder: ir.IRBuilder, chunk: ir.Value, sums: list[ir.Value], part: int, operands: Operands, shape: RowShape
) -> list[ir.Value]:
    words = ir.VectorType(I32, shape.vector)
    first = builder.add(builder.mul(chunk, I64(LINE * shape.nm)), I64(4 * shape.vector * part))
    bits = []
    for row in range(shape.rows):
        address = builder.add(operands.masks[row], first)
        for i in range(shape.nm):
            word = load(builder, builder.add(address, I64(LINE * i)), words, 2)
            bits.append(word if shape.parts > 1 else _inverted(builder, word))
    base = builder.mul(chunk, I64(CHUNK_BLOCKS))
    lowest, is_kept = _all(words, 1), _is_set if shape.parts > 1 else _is_clear

    def step(k: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
        bit, inner = values[0], values[1:]
        for u in range(shape.unroll):
            block = builder.add(base, builder.add(builder.mul(k, I64(shape.unroll)), I64(u)))
            tests = [partial(is_kept, builder, word, bit) for word in bits]
            inner = _block(builder, block, inner, (u, part), operands, shape, tests)
            bit = builder.add(bit, bit)
        return [bit, *inner]

    return loop(builder, (I64(0), I64(CHUNK_BLOCKS // shape.unroll)), [lowest, *sums], step)[1:]


def _step(
    builder: ir.IRBuilder, k: ir.Value, sums: list[ir.Value], operands: Operands, shape: RowShape
) -> list[ir.Value]:
    """Add ``unroll`` blocks without masks to every sum."""
    for u in range(shape.unroll):
        block = builder.add(builder.mul(k, I64(shape.unroll)), I64(u))
        for part in range(shape.parts):
            sums = _block(builder, block, sums, (u, part), operands, shape, [])
    return sums


def _block(
    builder: ir.IRBuilder,
    block: ir.Value,
    sums: list[ir.Value],
    place: tuple[int, int],
    operands: Operands,
    shape: RowShape,
    tests: Sequence[Callable[[], ir.Value]],
) -> list[ir.Value]:
    """Add a part of 16 columns to every sum of a partial set; ``sums`` is [partials, rows, nm + 1, tile], totals last.

    Args:
        place: of the block in its turn, and of the part in the block.
    """
    (u, part), nm, tile = place, shape.nm, shape.tile
    first = u % shape.partials * shape.accumulators
    if shape.ahead and part == 0 and u % shape.blocks_per_line == 0:
        for stream in operands.streams:
            ask_ahead(builder, stream, block, shape.width, shape.ahead)
    weights = [_weights(builder, block, number, part, operands, shape) for number in range(len(operands.streams))]
    out = list(sums)
    tokens = [_tokens(builder, block, t, part, operands, shape) for t in range(tile)]
    for row in range(shape.rows):
        if nm == 0:
            matrices = weights[row :: shape.rows]
            for k, weight in enumerate(matrices):
                for t in range(tile):
                    at = first + row * shape.sums + k * tile + t
                    out[at] = multiply_add(builder, weight, tokens[t], out[at])
            continue
        products = [builder.fmul(weights[row], token) for token in tokens]
        for t, product in enumerate(products):
            at = first + row * shape.sums + nm * tile + t
            out[at] = builder.fadd(out[at], product)
        for i in range(nm):
            bits = tests[row * nm + i]()
            for t, product in enumerate(products):
                at = first + row * shape.sums + i * tile + t
                out[at] = _masked_add(builder, out[at], product, bits, shape)
    return out


def _masked_add(builder: ir.IRBuilder, total: ir.Value, product: ir.Value, bits: ir.Value, shape: RowShape) -> ir.Value:
    """A product where its bit is set: one instruction of AVX-512, elsewhere 0 is added in its place."""
    if shape.parts == 1:
        return builder.select(bits, builder.fadd(total, product), total)
    return builder.fadd(total, builder.select(bits, product, _all(product.type, 0.0)))


def _weights(
    builder: ir.IRBuilder, block: ir.Value, number: int, part: int, operands: Operands, shape: RowShape
) -> ir.Value:
    stream, lanes = operands.streams[number], shape.vector
    if shape.coded:
        stream = builder.add(stream, I64(part * part_bytes(shape.dtype, lanes)))
        return load_codes(builder, stream, operands.scales[number], block, shape.dtype, lanes)
    return load_weights(builder, builder.add(stream, I64(part * lanes * shape.itemsize)), block, shape.dtype, lanes)


def _tokens(builder: ir.IRBuilder, block: ir.Value, t: int, part: int, operands: Operands, shape: RowShape) -> ir.Value:
    row = builder.add(operands.x, builder.mul(operands.stride, I64(shape.x_bytes * t)))
    place = builder.add(row, I64(part * shape.vector * shape.x_bytes))
    return load_weights(builder, place, block, shape.dtype if shape.dots else "float32", shape.vector)


def _inverted(builder: ir.IRBuilder, word: ir.Value) -> ir.Value:
    """Of "is set" LLVM makes "is clear" with the choices swapped, and of that no masked addition of AVX-512."""
    return builder.xor(word, _all(word.type, 0xFFFFFFFF))


def _is_set(builder: ir.IRBuilder, word: ir.Value, bit: ir.Value) -> ir.Value:
    return builder.icmp_unsigned("!=", builder.and_(word, bit), _all(word.type, 0))


def _is_clear(builder: ir.IRBuilder, word: ir.Value, bit: ir.Value) -> ir.Value:
    return builder.icmp_unsigned("==", builder.and_(word, bit), _all(word.type, 0))


def _all(kind: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


def _words(
    builder: ir.IRBuilder, block: ir.Value, whole: ir.Value, part: int, operands: Operands, shape: RowShape
) -> list[Callable[[], ir.Value]]:
    """The predicates of a part of a block behind the last chunk, whose masks are 16-bit words."""
    chunked = builder.mul(whole, I64(2 * shape.nm))
    offset = builder.add(chunked, builder.mul(builder.sub(block, whole), I64(2 * shape.nm)))

    def test(row: int, i: int) -> ir.Value:
        address = builder.add(builder.add(operands.masks[row], offset), I64(2 * i))
        word = builder.lshr(load(builder, address, I16, 2), I16(part * shape.vector))
        bits = ir.IntType(shape.vector)
        word = builder.trunc(word, bits) if shape.parts > 1 else word
        return builder.bitcast(word, ir.VectorType(ir.IntType(1), shape.vector))

    return [partial(test, row, i) for row in range(shape.rows) for i in range(shape.nm)]
