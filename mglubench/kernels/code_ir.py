"""Weights of a format in the inner loop of the CPU kernels: 16 codes from memory to fp32, as LLVM vector code.

=========  ==============================================================================  =========================
format     a block of 16 columns                                                           scale
=========  ==============================================================================  =========================
int8       16 bytes, widened to 32 bits, converted                                         of the row, on its sums
fp8-e4m3   16 bytes to fp16 by a shift (its exponent counts from 2^-8 of theirs), widened  of the row, with that 2^8
int4       a nibble of 16 words, as the index of a table of 16 products code x scale       in the table, per group
mxfp4      the same                                                                        the same
=========  ==============================================================================  =========================

A table look-up is one instruction where there is AVX-512; elsewhere nibbles are converted by arithmetic. Layouts are
those of ``cpu_rows`` in :mod:`mglubench.layer.formats`.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from mglubench.kernels.cpu_rows import LANES
from mglubench.kernels.cpu_target import has_feature
from mglubench.kernels.vector_ir import F32, I16, I32, I64, VECTOR, WORDS, load, splat
from mglubench.layer.formats.int4 import ZERO as INT4_ZERO
from mglubench.layer.formats.mxfp4 import MAGNITUDES

I8, HALF = ir.IntType(8), ir.HalfType()
# An fp8 number as an fp16 of the same bits is so much smaller; an E2M1 number so much.
FP8_AS_HALF, E2M1_AS_HALF = 2.0**8, 2.0**14


class Nibbles(NamedTuple):
    """A format of half a byte: values of its codes, blocks of 16 columns that share a scale, as a power of two."""

    table: tuple[float, ...]
    group_power: int


NIBBLES = {
    "int4": Nibbles(tuple(float(code - INT4_ZERO) for code in range(16)), 3),
    "mxfp4": Nibbles((*MAGNITUDES, *(-size for size in MAGNITUDES)), 1),
}
ROW_SCALES = {"int8": 1.0, "fp8-e4m3": FP8_AS_HALF}


def has_table_lookup() -> bool:
    """Whether the processor looks 16 numbers up at once."""
    return has_feature("avx512f")


def scales_of(builder: ir.IRBuilder, row: ir.Value, blocks: ir.Value, stored: str) -> ir.Value:
    """The address of a row's scales, behind the codes of so many blocks."""
    if stored in ROW_SCALES:
        return builder.add(row, builder.mul(blocks, I64(LANES)))
    groups = builder.lshr(builder.add(blocks, I64(7)), I64(3))
    return builder.add(row, builder.mul(groups, I64(64)))


def load_codes(
    builder: ir.IRBuilder, row: ir.Value, scales: ir.Value, block: ir.Value, stored: str, lanes: int = LANES
) -> ir.Value:
    """The first weights of a block, a vector of them, as fp32, without the scale of their row."""
    if stored in NIBBLES:
        return _nibbles(builder, row, scales, block, stored, lanes)
    bytes_, shorts, words, halves, floats = (ir.VectorType(kind, lanes) for kind in (I8, I16, I32, HALF, F32))
    codes = load(builder, builder.add(row, builder.mul(block, I64(LANES))), bytes_, 1)
    if stored == "int8":
        return builder.sitofp(builder.sext(codes, words), floats)
    # Of s eeee mmm, with its sign in all higher bits, s s eeee mmm 0000000: the second sign goes.
    shifted = builder.shl(builder.sext(codes, shorts), _all(shorts, 7))
    return builder.fpext(builder.bitcast(builder.and_(shifted, _all(shorts, 0xBFFF)), halves), floats)


def part_bytes(stored: str, lanes: int) -> int:
    """Bytes from a vector of codes to the next one of the same block; nibbles of 8 blocks share 16 words."""
    return lanes * (WORDS.element.width // 8 if stored in NIBBLES else 1)


def row_scale(builder: ir.IRBuilder, total: ir.Value, scales: ir.Value, stored: str) -> ir.Value:
    """A sum of a row with the row's scale, where weights do not have one each already."""
    if stored not in ROW_SCALES:
        return total
    return builder.fmul(total, builder.fmul(load(builder, scales, F32, 1), ir.Constant(F32, ROW_SCALES[stored])))


def group_scale(builder: ir.IRBuilder, scales: ir.Value, group: ir.Value, stored: str) -> ir.Value:
    """The scale of a group of a row, fp32."""
    if stored == "int4":
        bits = load(builder, builder.add(scales, builder.mul(group, I64(2))), I16, 1)
        return builder.bitcast(builder.shl(builder.zext(bits, I32), I32(16)), F32)
    bits = load(builder, builder.add(scales, group), I8, 1)
    return builder.bitcast(builder.shl(builder.zext(bits, I32), I32(23)), F32)


def _nibbles(
    builder: ir.IRBuilder, row: ir.Value, scales: ir.Value, block: ir.Value, stored: str, lanes: int
) -> ir.Value:
    form, words = NIBBLES[stored], ir.VectorType(I32, lanes)
    word = load(builder, builder.add(row, builder.mul(builder.lshr(block, I64(3)), I64(64))), words, 1)
    shift = builder.trunc(builder.shl(builder.and_(block, I64(7)), I64(2)), I32)
    index = builder.lshr(word, splat(builder, shift, lanes))
    scale = group_scale(builder, scales, builder.lshr(block, I64(form.group_power)), stored)
    if lanes == LANES and has_table_lookup():
        table = builder.fmul(ir.Constant(VECTOR, list(form.table)), splat(builder, scale, lanes))
        kind = ir.FunctionType(VECTOR, [VECTOR, WORDS])
        look_up = builder.module.declare_intrinsic("llvm.x86.avx512.permvar.sf.512", (), kind)
        return builder.call(look_up, [table, index])
    codes = builder.and_(index, _all(words, 15))
    return builder.fmul(_by_arithmetic(builder, codes, stored), splat(builder, scale, lanes))


def _by_arithmetic(builder: ir.IRBuilder, codes: ir.Value, stored: str) -> ir.Value:
    """What ``NIBBLES`` says of codes 0 to 15."""
    words = codes.type
    shorts, halves, floats = (ir.VectorType(kind, words.count) for kind in (I16, HALF, F32))
    if stored == "int4":
        return builder.sitofp(builder.sub(codes, _all(words, INT4_ZERO)), floats)
    sign = builder.shl(builder.and_(codes, _all(words, 8)), _all(words, 12))
    size = builder.shl(builder.and_(codes, _all(words, 7)), _all(words, 9))
    small = builder.bitcast(builder.trunc(builder.or_(sign, size), shorts), halves)
    return builder.fmul(builder.fpext(small, floats), _all(floats, E2M1_AS_HALF))


def _all(kind: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)
