"""16 activations at once on a CPU, as LLVM vector code; and the counter that threads take their rows from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from mglubench.kernels.cpu_rows import LANES

I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR, WORDS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
# exp(f) = 1 + f + f^2 P(f) for |f| <= ln(2) / 2, to an ulp of fp32: the coefficients of Cephes' expf.
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LN2_HIGH, LN2_LOW, LOG2_E = 0.693359375, -2.12194440e-4, 1.44269504088896341
# Added and taken away, it rounds to a whole number, which is then in the low bits of the sum.
ROUNDER, ROUNDER_BITS = 12582912.0, 0x4B400000
# Beyond these, exp is infinite and 0.
EXP_MOST, EXP_LEAST = 89.0, -104.0


@cache
def silu_intrinsic() -> Callable[..., None]:
    """A Numba intrinsic ``silu(source, target)``: addresses of 16 fp32 each, which may be the same."""

    @intrinsic
    def silu(typingctx, source, target):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            addresses = [builder.inttoptr(address, VECTOR.as_pointer()) for address in args]
            value = builder.load(addresses[0])
            value.align = 4
            below = builder.fadd(_all(1.0), _exp(builder, builder.fneg(value)))
            builder.store(builder.fdiv(value, below), addresses[1]).align = 4
            return context.get_dummy_value()

        return types.void(types.uintp, types.uintp), codegen

    made: Callable[..., None] = silu
    return made


@cache
def next_intrinsic() -> Callable[..., int]:
    """A Numba intrinsic ``next_of(address)``: the int64 there, which is one more afterwards, whoever else asks."""

    @intrinsic
    def next_of(typingctx, address):  # type: ignore[no-untyped-def]
        def codegen(context: object, builder: ir.IRBuilder, signature: object, args: Sequence[ir.Value]) -> ir.Value:
            return builder.atomic_rmw("add", builder.inttoptr(args[0], I64.as_pointer()), I64(1), "monotonic")

        return types.int64(types.uintp), codegen

    made: Callable[..., int] = next_of
    return made


def _all(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [value] * LANES)


def _exp(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """e to the x; NaN stays NaN, beyond fp32 it is infinite or 0."""
    x = builder.select(builder.fcmp_ordered(">", x, _all(EXP_MOST)), _all(EXP_MOST), x)
    x = builder.select(builder.fcmp_ordered("<", x, _all(EXP_LEAST)), _all(EXP_LEAST), x)
    shifted = builder.fadd(builder.fmul(x, _all(LOG2_E)), _all(ROUNDER))
    whole = builder.fsub(shifted, _all(ROUNDER))
    part = builder.fsub(x, builder.fmul(whole, _all(LN2_HIGH)))
    part = builder.fsub(part, builder.fmul(whole, _all(LN2_LOW)))
    series = _all(EXP[0])
    for coefficient in EXP[1:]:
        series = builder.fadd(builder.fmul(series, part), _all(coefficient))
    value = builder.fadd(builder.fmul(builder.fmul(part, part), series), builder.fadd(part, _all(1.0)))
    # In two steps, since 2^128 and 2^-150 are no fp32.
    power = builder.sub(builder.bitcast(shifted, WORDS), ir.Constant(WORDS, [ROUNDER_BITS] * LANES))
    half = builder.ashr(power, ir.Constant(WORDS, [1] * LANES))
    return builder.fmul(builder.fmul(value, _power_of_2(builder, half)), _power_of_2(builder, builder.sub(power, half)))


def _power_of_2(builder: ir.IRBuilder, exponent: ir.Value) -> ir.Value:
    biased = builder.add(exponent, ir.Constant(WORDS, [127] * LANES))
    return builder.bitcast(builder.shl(biased, ir.Constant(WORDS, [23] * LANES)), VECTOR)
