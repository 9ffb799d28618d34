"""x of one token cut into signed bytes, as :mod:`~mglubench.kernels.digits_ir` reads it, by LLVM vector code.

x times a power of two, so that its largest is below 2^23, rounds to whole numbers, and these to three digits of base
256 from -128 to 127, the highest first. What is made of a token:

====================  ============================================================================================
a line (64 bytes)     fp32: what a sum of products with digits is to be multiplied by; NaN if no digits serve
int8: a line a digit  int32 a lane: minus 128 times the digits of that lane, where sums begin
whole chunks          int8, every 64 columns: a line a digit. int4, every 128: a line a digit and half, then int32 a
                      lane: minus 8 times x of that lane, in all digits
blocks behind them    16 bytes a digit; of int4 then the same for the block
====================  ============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mglubench.kernels.cpu_rows import CHUNK_BLOCKS, LANES, LINE, RowShape
from mglubench.kernels.vector_ir import F32, I32, I64, VECTOR, WORDS, across_lanes, load, loop, splat

I8 = ir.IntType(8)
BYTES = ir.VectorType(I8, LINE)
SIXTEEN = ir.VectorType(I8, LANES)
# Blocks of 16 columns whose mask bits are a byte of each lane.
QUARTER_BLOCKS = 8
# What codes without a sign stand above those with one.
ZERO = {"int8": 128, "int4": 8}
# x in digits is below 2^23, and by so much of its mantissa that the highest digit is below 128.
TOP_EXPONENT, SPARE = 22, 0x20000
# Below 2^-97 the largest x counts as that.
LEAST_BITS = 30 << 23
# Digits hold what is much smaller than the largest x less exactly than fp32 does: they are made of an x whose largest
# is no more than so many times the mean of its magnitudes (of normal deviates, 6 times).
MOST_OF_MEAN = 64.0
NAN = ir.Constant(F32, float("nan"))


class DigitPlaces:
    """Addresses in what is made of a token; methods emit what they say.

    Args:
        start: address. whole: blocks in whole chunks of masks.
    """

    def __init__(self, builder: ir.IRBuilder, start: ir.Value, whole: ir.Value, shape: RowShape) -> None:
        self._builder, self._start, self._digits = builder, start, shape.digits
        self.bytewise, self.zero = shape.dtype == "int8", ZERO[shape.dtype]
        own = 0 if self.bytewise else LINE
        self._quarter, self._block = 2 * LINE * shape.digits + own, LANES * shape.digits + own
        self._head = LINE * (1 + shape.digits) if self.bytewise else LINE
        size = builder.mul(builder.udiv(whole, I64(QUARTER_BLOCKS)), I64(self._quarter))
        self._left = builder.add(builder.add(start, I64(self._head)), size)

    def offset(self, digit: int) -> ir.Value:
        """Where sums of a digit begin (int8)."""
        return self._builder.add(self._start, I64(LINE * (1 + digit)))

    def whole(self, quarter: ir.Value, half: int, digit: int) -> ir.Value:
        """A line of 64 columns of a quarter of a chunk."""
        line = half * self._digits + digit if self.bytewise else 2 * digit + half
        return self._in_quarter(quarter, LINE * line)

    def whole_zero(self, quarter: ir.Value) -> ir.Value:
        """Where sums of a group begin (int4)."""
        return self._in_quarter(quarter, 2 * LINE * self._digits)

    def left(self, block: ir.Value, digit: int) -> ir.Value:
        """16 bytes of a block behind the whole chunks."""
        return self._in_block(block, LANES * digit)

    def left_zero(self, block: ir.Value) -> ir.Value:
        """Where sums of such a block begin (int4)."""
        return self._in_block(block, LANES * self._digits)

    def _in_quarter(self, quarter: ir.Value, place: int) -> ir.Value:
        at = self._builder.mul(quarter, I64(self._quarter))
        return self._builder.add(self._builder.add(self._start, at), I64(self._head + place))

    def _in_block(self, block: ir.Value, place: int) -> ir.Value:
        at = self._builder.mul(block, I64(self._block))
        return self._builder.add(self._builder.add(self._left, at), I64(place))


def digit_bytes(digits: int, blocks: int) -> int:
    """Room for what is made of a token of so many blocks, in whole lines: that of int4, which takes more."""
    return LINE * (1 + digits) + -(-blocks // QUARTER_BLOCKS) * QUARTER_BLOCKS * (LANES * digits + LINE)


@cache
def split_intrinsic(shape: RowShape) -> Callable[..., None]:
    """A Numba intrinsic ``split(x, blocks, out)``: addresses of fp32 x, and of room for what is made of it."""

    @intrinsic
    def split(typingctx, x, blocks, out):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            emit_split(builder, args, shape)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 3), codegen

    made: Callable[..., None] = split
    return made


def emit_split(builder: ir.IRBuilder, args: tuple[ir.Value, ...], shape: RowShape) -> None:
    """Emit the search for the largest x, then all digits."""
    x, blocks, out = args
    whole = builder.mul(builder.udiv(blocks, I64(CHUNK_BLOCKS)), I64(CHUNK_BLOCKS))
    places = DigitPlaces(builder, out, whole, shape)
    peak, total = _peak_and_total(builder, x, blocks)
    times, back = _factors(builder, peak)
    columns = builder.uitofp(builder.mul(blocks, I64(LANES)), F32)
    alone = builder.fmul(builder.bitcast(peak, F32), columns)
    stands_out = builder.fcmp_ordered(">", alone, builder.fmul(total, ir.Constant(F32, MOST_OF_MEAN)))
    _store(builder, builder.select(stands_out, NAN, back), out)

    def number(block: ir.Value) -> ir.Value:
        value = load(builder, builder.add(x, builder.mul(block, I64(4 * LANES))), VECTOR, 4)
        nearest = builder.module.declare_intrinsic("llvm.rint.v16f32", (), ir.FunctionType(VECTOR, [VECTOR]))
        return builder.fptosi(builder.call(nearest, [builder.fmul(value, splat(builder, times, LANES))]), WORDS)

    def quarter(k: ir.Value, none: list[ir.Value]) -> list[ir.Value]:
        first = builder.mul(k, I64(QUARTER_BLOCKS))
        numbers = [number(builder.add(first, I64(u))) for u in range(QUARTER_BLOCKS)]
        cut = [_digits(builder, each, shape.digits) for each in numbers]
        for half in range(2):
            for d in range(shape.digits):
                if places.bytewise:
                    line = [builder.trunc(each[d], SIXTEEN) for each in cut[4 * half : 4 * half + 4]]
                    for j, part in enumerate(line):
                        _store(builder, part, builder.add(places.whole(k, half, d), I64(LANES * j)))
                else:
                    _store(builder, _interleaved(builder, [each[d] for each in cut[half::2]]), places.whole(k, half, d))
        if not places.bytewise:
            _store(builder, _minus(builder, numbers, places.zero), places.whole_zero(k))
        return none

    def block(k: ir.Value, none: list[ir.Value]) -> list[ir.Value]:
        here, value = builder.sub(k, whole), number(k)
        for d, digit in enumerate(_digits(builder, value, shape.digits)):
            _store(builder, builder.trunc(digit, SIXTEEN), places.left(here, d))
        if not places.bytewise:
            _store(builder, _minus(builder, [value], places.zero), places.left_zero(here))
        return none

    quarters = builder.udiv(whole, I64(QUARTER_BLOCKS))
    loop(builder, (I64(0), quarters), [], quarter)
    loop(builder, (whole, blocks), [], block)
    if places.bytewise:
        _offsets(builder, places, quarters, builder.sub(blocks, whole), shape.digits)


def _offsets(builder: ir.IRBuilder, places: DigitPlaces, quarters: ir.Value, left: ir.Value, digits: int) -> None:
    """Digits of every lane, times -128."""
    zero, none = all_of(BYTES, places.zero), [all_of(WORDS, 0)] * digits

    def of_quarter(k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        for half in range(2):
            lines = [load(builder, places.whole(k, half, d), BYTES, 1) for d in range(digits)]
            sums = [add_products(builder, total, zero, line) for total, line in zip(sums, lines, strict=True)]
        return sums

    def of_block(k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        parts = [widened(builder, load(builder, places.left(k, d), SIXTEEN, 1)) for d in range(digits)]
        return [add_products(builder, total, zero, part) for total, part in zip(sums, parts, strict=True)]

    sums = loop(builder, (I64(0), quarters), none, of_quarter)
    for d, total in enumerate(loop(builder, (I64(0), left), sums, of_block)):
        _store(builder, builder.neg(total), places.offset(d))


def _peak_and_total(builder: ir.IRBuilder, x: ir.Value, blocks: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The bits of the largest magnitude, of those that are not finite too; the sum of all magnitudes."""

    def larger(one: ir.Value, other: ir.Value) -> ir.Value:
        return builder.select(builder.icmp_unsigned(">", one, other), one, other)

    def step(block: ir.Value, before: list[ir.Value]) -> list[ir.Value]:
        bits = load(builder, builder.add(x, builder.mul(block, I64(4 * LANES))), WORDS, 4)
        size = builder.and_(bits, all_of(WORDS, 0x7FFFFFFF))
        return [larger(size, before[0]), builder.fadd(before[1], builder.bitcast(size, VECTOR))]

    first = [all_of(WORDS, LEAST_BITS), ir.Constant(VECTOR, [0.0] * LANES)]
    found, total = loop(builder, (I64(0), blocks), first, step)
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        order = ir.Constant(WORDS, [(lane + lanes) % LANES for lane in range(LANES)])
        found = larger(found, builder.shuffle_vector(found, found, order))
    return builder.extract_element(found, I32(0)), across_lanes(builder, total)


def _factors(builder: ir.IRBuilder, peak: ir.Value) -> tuple[ir.Value, ir.Value]:
    """What x is multiplied by, and what undoes it; NaN of an x that is not finite."""
    exponent = builder.lshr(builder.add(peak, I32(SPARE)), I32(23))
    times = builder.bitcast(builder.shl(builder.sub(I32(2 * 127 + TOP_EXPONENT), exponent), I32(23)), F32)
    back = builder.bitcast(builder.shl(builder.sub(exponent, I32(TOP_EXPONENT)), I32(23)), F32)
    finite = builder.icmp_unsigned("<", peak, I32(0x7F800000))
    return times, builder.select(finite, back, NAN)


def _digits(builder: ir.IRBuilder, number: ir.Value, digits: int) -> list[ir.Value]:
    """Whole numbers, int32, as digits from -128 to 127, the highest first."""
    found = []
    for _ in range(digits - 1):
        low = builder.ashr(builder.shl(number, all_of(WORDS, 24)), all_of(WORDS, 24))
        found.append(low)
        number = builder.ashr(builder.sub(number, low), all_of(WORDS, 8))
    return [number, *reversed(found)]


def _interleaved(builder: ir.IRBuilder, parts: list[ir.Value]) -> ir.Value:
    """Four digits a lane as the bytes of its word."""
    word = builder.and_(parts[0], all_of(WORDS, 255))
    for place, part in enumerate(parts[1:], 1):
        byte = builder.shl(builder.and_(part, all_of(WORDS, 255)), all_of(WORDS, 8 * place))
        word = builder.or_(word, byte)
    return word


def _minus(builder: ir.IRBuilder, numbers: list[ir.Value], times: int) -> ir.Value:
    total = numbers[0]
    for each in numbers[1:]:
        total = builder.add(total, each)
    return builder.mul(total, all_of(WORDS, -times))


def add_products(builder: ir.IRBuilder, total: ir.Value, codes: ir.Value, digits: ir.Value) -> ir.Value:
    """int32 a lane, plus the products of its four codes without a sign and four digits with one."""
    # LLVM 22 takes bytes, and words as all before it did.
    kind = ir.FunctionType(WORDS, [WORDS] * 3)
    products = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kind)
    return builder.call(products, [total, builder.bitcast(codes, WORDS), builder.bitcast(digits, WORDS)])


def widened(builder: ir.IRBuilder, values: ir.Value) -> ir.Value:
    """16 bytes as 64, zeros behind them."""
    order = [*range(LANES), *([LANES] * (LINE - LANES))]
    return builder.shuffle_vector(values, all_of(SIXTEEN, 0), ir.Constant(ir.VectorType(I32, LINE), order))


def as_bytes(builder: ir.IRBuilder, values: ir.Value) -> ir.Value:
    """16 numbers, each in the first byte of a word."""
    return builder.bitcast(builder.zext(values, WORDS) if values.type == SIXTEEN else values, BYTES)


def all_of(kind: ir.Type, value: int) -> ir.Constant:
    """A vector of one number."""
    bits = kind.element.width
    return ir.Constant(kind, [(value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))] * kind.count)


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1
