"""Pairs of bf16 products added to fp32 sums in one instruction (AVX-512 BF16), as LLVM vector code.

The processor multiplies 32 weights by 32 x and adds both products of a lane to its sum, so nothing is widened. Products
of bf16 are exact in fp32; each addition rounds once, numbers below 2^-126 count as 0. A mask leaves out weights:

    for half in chunk of 512 columns:          16 blocks of 16 columns
        bits[row, i] = mask i of the half      32 lanes of 16 bits, from 16 lanes of 32
        for unit in half:                      32 columns
            total[row, token] += pairs of W[row, unit] x[token, unit]
            gate[row, token, i] += the same, where bit `unit` of bits[row, i] is set

Lane l < 16 of bits has its bit of block b at 2 b, lane 16 + l that of block b + 1: one test serves both blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from mglubench.kernels.cpu_rows import CHUNK_BLOCKS, LANES, RowShape
from mglubench.kernels.vector_ir import I16, I64, VECTOR, WORDS, Operands, ask_ahead, load, loop

PAIRS = 2 * LANES
HALF_BLOCKS, HALF_UNITS = CHUNK_BLOCKS // 2, CHUNK_BLOCKS // 4
SHORTS = ir.VectorType(I16, PAIRS)
NOTHING = ir.Constant(SHORTS, [0] * PAIRS)
BYTES = 2


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's ``bfloat``, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


BFLOATS = ir.VectorType(_BFloat(), PAIRS)


def masked_half(
    builder: ir.IRBuilder, number: ir.Value, sums: list[ir.Value], operands: Operands, shape: RowShape
) -> list[ir.Value]:
    """Add 256 columns to every sum: half ``number`` of a row, two to a chunk of masks."""
    chunk, half = builder.lshr(number, I64(1)), builder.and_(number, I64(1))
    bits = []
    for row in operands.masks:
        address = builder.add(row, builder.mul(chunk, I64(shape.nm * 4 * LANES)))
        for i in range(shape.nm):
            word = load(builder, builder.add(address, I64(4 * LANES * i)), WORDS, BYTES)
            bits.append(_of_half(builder, word, half))
    base, lowest = builder.mul(number, I64(HALF_BLOCKS)), ir.Constant(SHORTS, [1] * PAIRS)

    def step(k: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
        bit, inner = values[0], values[1:]
        for u in range(shape.unroll):
            unit = builder.add(builder.mul(k, I64(shape.unroll)), I64(u))
            block = builder.add(base, builder.mul(unit, I64(2)))
            kept = [builder.icmp_unsigned("==", builder.and_(word, bit), NOTHING) for word in bits]
            inner = _unit(builder, block, inner, u, operands, shape, kept)
            bit = builder.shl(bit, ir.Constant(SHORTS, [2] * PAIRS))
        return [bit, *inner]

    return loop(builder, (I64(0), I64(HALF_UNITS // shape.unroll)), [lowest, *sums], step)[1:]


def plain_step(
    builder: ir.IRBuilder, k: ir.Value, sums: list[ir.Value], operands: Operands, shape: RowShape
) -> list[ir.Value]:
    """Add ``unroll`` units without masks to every sum."""
    for u in range(shape.unroll):
        block = builder.mul(builder.add(builder.mul(k, I64(shape.unroll)), I64(u)), I64(2))
        sums = _unit(builder, block, sums, u, operands, shape, [])
    return sums


def _of_half(builder: ir.IRBuilder, word: ir.Value, half: ir.Value) -> ir.Value:
    """The bits of half a chunk, inverted: of "is set" LLVM makes "is clear" with the choices swapped."""
    narrow = ir.VectorType(I16, LANES)
    shift = builder.trunc(builder.mul(half, I64(LANES)), WORDS.element)
    zeros = ir.Constant(WORDS, [0] * LANES)
    spread = builder.shuffle_vector(builder.insert_element(zeros, shift, I64(0)), zeros, zeros)
    even = builder.trunc(builder.lshr(word, spread), narrow)
    odd = builder.lshr(even, ir.Constant(narrow, [1] * LANES))
    both = builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(WORDS.element, PAIRS), list(range(PAIRS))))
    return builder.xor(both, ir.Constant(SHORTS, [0xFFFF] * PAIRS))


def _unit(
    builder: ir.IRBuilder,
    block: ir.Value,
    sums: list[ir.Value],
    u: int,
    operands: Operands,
    shape: RowShape,
    kept: Sequence[ir.Value],
) -> list[ir.Value]:
    """Add 32 columns from ``block`` on to every sum of partial set ``u``; sums as in ``numba_cpu_ir``."""
    nm, tile, first = shape.nm, shape.tile, u % shape.partials * shape.accumulators
    out, offset = list(sums), builder.mul(block, I64(BYTES * LANES))
    tokens = []
    for t in range(tile):
        row = builder.add(operands.x, builder.mul(operands.stride, I64(BYTES * t)))
        tokens.append(load(builder, builder.add(row, offset), SHORTS, BYTES))
    for number, stream in enumerate(operands.streams):
        if shape.ahead:
            ask_ahead(builder, stream, block, shape.width, shape.ahead)
        weights = load(builder, builder.add(stream, offset), SHORTS, BYTES)
        # Of two matrices the second's sums come behind the first's of the same row.
        matrix, row = divmod(number, shape.rows)
        at = first + row * shape.sums + matrix * tile
        parts = [*(builder.select(kept[row * nm + i], weights, NOTHING) for i in range(nm)), weights]
        for k, part in enumerate(parts):
            for t, token in enumerate(tokens):
                place = at + k * tile + t
                out[place] = _add_pairs(builder, out[place], part, token)
    return out


def _add_pairs(builder: ir.IRBuilder, total: ir.Value, weights: ir.Value, token: ir.Value) -> ir.Value:
    kind = ir.FunctionType(VECTOR, [VECTOR, BFLOATS, BFLOATS])
    pairs = builder.module.declare_intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", (), kind)
    return builder.call(pairs, [total, builder.bitcast(weights, BFLOATS), builder.bitcast(token, BFLOATS)])
