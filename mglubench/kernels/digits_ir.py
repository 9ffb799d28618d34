"""Codes times digits of x: the inner loop of the CPU kernels over int8 and int4 weights, in whole numbers.

An instruction of AVX-512 VNNI multiplies 64 codes by 64 bytes and adds the products to 16 sums, so codes are neither
widened nor converted. x is cut into signed bytes for it (:mod:`~mglubench.kernels.split_ir`), three of which hold a
number of 23 bits: what is rounded is x, by at most 2^-23 of its largest, and not the sums.

    for quarter in row:                            128 columns
        bits[row, i] = the quarter's bits of mask i, a byte for each of its 8 blocks of 16 columns
        for half in quarter:                       64 columns, in the order in which their codes lie
            for row in rows:
                u = codes + zero                   bytes without a sign
                total[row, digit]   += u * digit of x
                gate[row, i, digit] += (u where a bit is set, else zero) * digit of x

What ``zero`` adds to every sum is the same for all, ``zero`` times the digits of a lane: sums begin without it. Sums of
int8 run through a row, digit by digit; those of int4 are put together and scaled after every group of 128 columns. A
gate whose mask is all ones is the total, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from mglubench.kernels.code_ir import NIBBLES, group_scale, row_scale
from mglubench.kernels.cpu_rows import CHUNK_BLOCKS, LANES, LINE, RowShape
from mglubench.kernels.split_ir import (
    BYTES,
    QUARTER_BLOCKS,
    SIXTEEN,
    DigitPlaces,
    add_products,
    all_of,
    as_bytes,
    widened,
)
from mglubench.kernels.vector_ir import (
    F32,
    I16,
    I32,
    I64,
    VECTOR,
    WORDS,
    ZERO,
    Operands,
    across_lanes,
    ask_ahead,
    load,
    loop,
    multiply_add,
    splat,
    store_sum,
)

RADIX = 256.0


@dataclass(frozen=True)
class Walk:
    """What the steps over a row need: the shape, addresses, and blocks of the row that lie in whole chunks."""

    shape: RowShape
    operands: Operands
    places: DigitPlaces
    whole: ir.Value

    @property
    def bytewise(self) -> bool:
        """Whether a code is a byte, and a scale a row's."""
        return self.shape.dtype not in NIBBLES

    @property
    def rows(self) -> int:
        """Rows of either matrix."""
        return len(self.operands.streams)

    @property
    def sums(self) -> int:
        """Of a row of one matrix."""
        return self.shape.nm + 1


def emit_digits(
    builder: ir.IRBuilder, operands: Operands, blocks: ir.Value, out: Sequence[ir.Value], shape: RowShape
) -> None:
    """Emit whole chunks, quarter by quarter, then what is left block by block, then the sums across lanes.

    Args:
        out: address, bytes from a row's sums to the next row's, and from a sum of one kind to the next kind.
    """
    whole = builder.mul(builder.udiv(blocks, I64(CHUNK_BLOCKS)), I64(CHUNK_BLOCKS))
    walk = Walk(shape, operands, DigitPlaces(builder, operands.x, whole, shape), whole)
    count = walk.rows * walk.sums
    if walk.bytewise:
        first = [load(builder, walk.places.offset(d), WORDS, 1) for d in range(shape.digits)]
        sums = first * count
    else:
        sums = [ZERO] * count
    quarters = builder.udiv(whole, I64(QUARTER_BLOCKS))
    sums = loop(builder, (I64(0), quarters), sums, lambda k, inner: _quarter(builder, k, inner, walk))
    sums = loop(builder, (whole, blocks), sums, lambda block, inner: _block(builder, block, inner, walk))
    factor = load(builder, operands.x, F32, 4)
    for number in range(count):
        stream, k = divmod(number, walk.sums)
        matrix, row = divmod(stream, shape.rows)
        total = _row_total(builder, sums, number, walk)
        total = builder.fmul(row_scale(builder, total, operands.scales[stream], shape.dtype), factor)
        store_sum(builder, total, out, (row, k + matrix, 0))


def _row_total(builder: ir.IRBuilder, sums: list[ir.Value], number: int, walk: Walk) -> ir.Value:
    """The sum of all lanes of one sum, fp32."""
    if not walk.bytewise:
        return across_lanes(builder, sums[number])
    digits = walk.shape.digits
    value, *rest = (builder.sitofp(part, VECTOR) for part in sums[number * digits : (number + 1) * digits])
    for part in rest:
        value = multiply_add(builder, value, ir.Constant(VECTOR, [RADIX] * LANES), part)
    return across_lanes(builder, value)


def _quarter(builder: ir.IRBuilder, quarter: ir.Value, sums: list[ir.Value], walk: Walk) -> list[ir.Value]:
    """Add 128 columns, half by half."""
    bits = _bits_of_quarter(builder, quarter, walk)
    codes = [_codes_of_quarter(builder, quarter, stream, walk) for stream in walk.operands.streams]
    halves = []
    for half in range(2):
        digits = [load(builder, walk.places.whole(quarter, half, d), BYTES, 1) for d in range(walk.shape.digits)]
        tests = ir.Constant(BYTES, [_bit_of(place, half, walk) for place in range(LINE)])
        kept = [builder.icmp_unsigned("!=", builder.and_(each, tests), all_of(BYTES, 0)) for each in bits]
        halves.append((digits, [_parts(builder, code[half], kept, row, walk) for row, code in enumerate(codes)]))
    return _added(builder, sums, halves, walk, lambda: walk.places.whole_zero(quarter), quarter)


def _block(builder: ir.IRBuilder, block: ir.Value, sums: list[ir.Value], walk: Walk) -> list[ir.Value]:
    """Add 16 columns behind the last chunk, whose masks are 16-bit words."""
    nm, place = walk.shape.nm, builder.sub(block, walk.whole)
    offset = builder.mul(builder.add(walk.whole, place), I64(2 * nm))
    kept = []
    for masks in walk.operands.masks if nm else []:
        for i in range(nm):
            word = load(builder, builder.add(masks, builder.add(offset, I64(2 * i))), I16, 2)
            kept.append(builder.bitcast(word, ir.VectorType(ir.IntType(1), LANES)))
    digits = [load(builder, walk.places.left(place, d), SIXTEEN, 1) for d in range(walk.shape.digits)]
    parts = []
    for row, stream in enumerate(walk.operands.streams):
        if walk.bytewise:
            codes = load(builder, builder.add(stream, builder.mul(block, I64(LANES))), SIXTEEN, 1)
            codes = builder.xor(codes, all_of(SIXTEEN, walk.places.zero))
        else:
            codes = _nibbles_of_block(builder, block, stream)
        parts.append([_spread(builder, part, walk) for part in _parts(builder, codes, kept, row, walk)])
    digits = [_spread(builder, digit, walk) for digit in digits]
    group = builder.lshr(block, I64(3))
    return _added(builder, sums, [(digits, parts)], walk, lambda: walk.places.left_zero(place), group)


def _added(
    builder: ir.IRBuilder,
    sums: list[ir.Value],
    halves: Sequence[tuple[list[ir.Value], list[list[ir.Value]]]],
    walk: Walk,
    zero_at: Callable[[], ir.Value],
    group: ir.Value,
) -> list[ir.Value]:
    """Products of all halves, each with its digits of x and its parts of every row, added to the sums."""
    digits, out = walk.shape.digits, list(sums)
    zero = None if walk.bytewise else load(builder, zero_at(), WORDS, 1)
    for row in range(walk.rows):
        scale = None if walk.bytewise else _scale(builder, group, row, walk)
        for k in range(walk.sums):
            at = row * walk.sums + k
            if zero is None or scale is None:
                for d in range(digits):
                    for tokens, parts in halves:
                        place = at * digits + d
                        out[place] = add_products(builder, out[place], parts[row][k], tokens[d])
                continue
            total = all_of(WORDS, 0)
            for d in range(digits):
                total = builder.shl(total, all_of(WORDS, 8)) if d else total
                total = builder.add(total, zero) if d == digits - 1 else total
                for tokens, parts in halves:
                    total = add_products(builder, total, parts[row][k], tokens[d])
            out[at] = multiply_add(builder, builder.sitofp(total, VECTOR), scale, out[at])
    return out


def _scale(builder: ir.IRBuilder, group: ir.Value, row: int, walk: Walk) -> ir.Value:
    return splat(builder, group_scale(builder, walk.operands.scales[row], group, walk.shape.dtype), LANES)


def _parts(builder: ir.IRBuilder, codes: ir.Value, kept: Sequence[ir.Value], row: int, walk: Walk) -> list[ir.Value]:
    """Codes as each sum of a row takes them: what each mask keeps, then all."""
    nm, zero = walk.shape.nm, all_of(codes.type, walk.places.zero)
    return [*(builder.select(kept[row * nm + i], codes, zero) for i in range(nm)), codes]


def _bits_of_quarter(builder: ir.IRBuilder, quarter: ir.Value, walk: Walk) -> list[ir.Value]:
    """Of every row and mask: the byte of a lane's word that is the quarter's, where the codes of that lane lie."""
    shape = walk.shape
    if not shape.nm:
        return []
    which = builder.trunc(builder.and_(quarter, I64(3)), BYTES.element)
    index = builder.add(ir.Constant(BYTES, [4 * _lane_of(p, walk) for p in range(LINE)]), splat(builder, which, LINE))
    chunk = builder.mul(builder.lshr(quarter, I64(2)), I64(LINE * shape.nm))
    permute = builder.module.declare_intrinsic(
        "llvm.x86.avx512.permvar.qi.512", (), ir.FunctionType(BYTES, [BYTES, BYTES])
    )
    found = []
    for masks in walk.operands.masks:
        for i in range(shape.nm):
            words = load(builder, builder.add(masks, builder.add(chunk, I64(LINE * i))), BYTES, 2)
            found.append(builder.call(permute, [words, index]))
    return found


def _codes_of_quarter(
    builder: ir.IRBuilder, quarter: ir.Value, stream: ir.Value, walk: Walk
) -> tuple[ir.Value, ir.Value]:
    """Codes of both halves, without a sign."""
    shape, block = walk.shape, builder.mul(quarter, I64(QUARTER_BLOCKS))
    lines = 2 if walk.bytewise else 1
    loaded = []
    for line in range(lines):
        here = builder.add(block, I64(QUARTER_BLOCKS // lines * line))
        if shape.ahead:
            ask_ahead(builder, stream, here, shape.width, shape.ahead)
        loaded.append(load(builder, builder.add(stream, builder.mul(here, I64(shape.width))), BYTES, 1))
    if walk.bytewise:
        low, high = (builder.xor(codes, all_of(BYTES, walk.places.zero)) for codes in loaded)
        return low, high
    shifted = builder.bitcast(builder.lshr(builder.bitcast(loaded[0], WORDS), all_of(WORDS, 4)), BYTES)
    return builder.and_(loaded[0], all_of(BYTES, 15)), builder.and_(shifted, all_of(BYTES, 15))


def _nibbles_of_block(builder: ir.IRBuilder, block: ir.Value, stream: ir.Value) -> ir.Value:
    """Codes of 16 columns, a word each."""
    word = load(builder, builder.add(stream, builder.mul(builder.lshr(block, I64(3)), I64(LINE))), WORDS, 1)
    shift = builder.trunc(builder.shl(builder.and_(block, I64(7)), I64(2)), I32)
    return builder.and_(builder.lshr(word, splat(builder, shift, LANES)), all_of(WORDS, 15))


def _spread(builder: ir.IRBuilder, values: ir.Value, walk: Walk) -> ir.Value:
    """16 numbers as 64 bytes: in the first 16, or in the first byte of every word."""
    return widened(builder, values) if walk.bytewise else as_bytes(builder, values)


def _lane_of(place: int, walk: Walk) -> int:
    """Which lane of a block the code at a byte is of."""
    return place % LANES if walk.bytewise else place // 4


def _bit_of(place: int, half: int, walk: Walk) -> int:
    """Its bit in the quarter's byte: the block of the quarter that it is of."""
    block = 4 * half + place // LANES if walk.bytewise else 2 * (place % 4) + half
    return 1 << block
