"""What the Numba CUDA kernels need and Numba does not offer: 16-byte loads, and halves as bits, as LLVM intrinsics.

Weights and x travel as integers (int16 bits of fp16 or bf16) or as fp32, so that no array of a 16-bit float type is
needed. ``intrinsics`` takes the target's decorator and types: the same code is built for CUDA, and by the tests for the
CPU, where its results can be checked without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, NamedTuple

# What compiled code may call: Numba infers the types of its arguments, which no annotation here could say.
DeviceFunction = Callable[..., Any]


class Primitives(NamedTuple):
    """Functions that a kernel calls; the tests' simulator has Python twins of them.

    Attributes:
        load4: ``(array of int32, index) -> 4 x int32`` from a 16-byte aligned place.
        half_to_float, float_to_half: int16 bits of fp16 to and from float32.
        bits_to_float, float_to_bits: int32 bits to and from float32.
        shuffle: ``(value, distance)``: a float32 of the lane ``distance`` above in the warp.
    """

    load4: DeviceFunction
    half_to_float: DeviceFunction
    float_to_half: DeviceFunction
    bits_to_float: DeviceFunction
    float_to_bits: DeviceFunction
    shuffle: DeviceFunction


def cuda_module() -> ModuleType:
    """``numba.cuda``, or what a simulation has put in its place."""
    from numba import cuda

    module: ModuleType = cuda
    return module


def device_function(function: DeviceFunction) -> DeviceFunction:
    """A function that kernels may call. It is inlined: a compiled call would ask for a GPU to compile for."""
    made: DeviceFunction = cuda_module().jit(device=True, inline="always")(function)
    return made


@cache
def why_nothing_compiles() -> str | None:
    """Why Numba makes nothing for a GPU here, tried with an empty kernel; ``None`` if it does. Needs no GPU.

    A numba-cuda may be older than the NumPy beside it, and finds out when it first compiles.
    """
    try:
        from numba import types

        cuda_module().compile_ptx(lambda: None, types.void(), cc=(9, 0))
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        here = " and ".join(f"{name} {_version(name)}" for name in ("numba-cuda", "numpy"))
        return f"Numba compiles no kernel for a GPU with {here}: {lines[0]}"
    return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(none)"


@cache
def cuda_primitives() -> Primitives:
    """For kernels compiled for a GPU."""
    from numba.core import types
    from numba.cuda.extending import intrinsic

    cuda = cuda_module()

    def shuffle(value, distance):  # type: ignore[no-untyped-def]
        return cuda.shfl_down_sync(0xFFFFFFFF, value, distance)

    return Primitives(*intrinsics(intrinsic, types), device_function(shuffle))


def intrinsics(
    intrinsic: Callable[[DeviceFunction], DeviceFunction], types: ModuleType
) -> tuple[DeviceFunction, DeviceFunction, DeviceFunction, DeviceFunction, DeviceFunction]:
    """``load4``, ``half_to_float``, ``float_to_half``, ``bits_to_float``, ``float_to_bits`` for one Numba target."""
    from llvmlite import ir

    i16, i32, f16, f32 = ir.IntType(16), ir.IntType(32), ir.HalfType(), ir.FloatType()

    @intrinsic
    def load4(typingctx, array, index):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            place = builder.bitcast(builder.gep(data, [args[1]]), ir.VectorType(i32, 4).as_pointer())
            vector = builder.load(place, align=16)
            parts = [builder.extract_element(vector, i32(lane)) for lane in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.int32, 4)(array, types.int64), codegen

    @intrinsic
    def half_to_float(typingctx, bits):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.fpext(builder.bitcast(args[0], f16), f32)

        return types.float32(types.int16), codegen

    @intrinsic
    def float_to_half(typingctx, value):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.bitcast(builder.fptrunc(args[0], f16), i16)

        return types.int16(types.float32), codegen

    @intrinsic
    def bits_to_float(typingctx, bits):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.bitcast(args[0], f32)

        return types.float32(types.int32), codegen

    @intrinsic
    def float_to_bits(typingctx, value):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.bitcast(args[0], i32)

        return types.int32(types.float32), codegen

    return load4, half_to_float, float_to_half, bits_to_float, float_to_bits
