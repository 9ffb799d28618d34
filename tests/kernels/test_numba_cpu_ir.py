"""What the loops of the CPU kernels are made of, where another choice gives the same numbers and another speed."""

from __future__ import annotations

import pytest
from llvmlite import ir

from mglubench.kernels import code_ir
from mglubench.kernels.cpu_rows import CHUNK_BLOCKS, RowShape
from mglubench.kernels.numba_cpu_ir import emit


def emitted(shape: RowShape) -> str:
    """The loop over rows as text."""
    word = ir.IntType(64)
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), [word] * 11), "rows")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, function.args, shape)
    builder.ret_void()
    return str(function.module)


@pytest.mark.parametrize("vector", [16, 8, 4])
@pytest.mark.parametrize(("nm", "dtype", "unroll"), [(0, "float32", 4), (2, "float32", 4), (1, "bfloat16", 4)])
def test_each_line_is_asked_for_once(nm: int, dtype: str, unroll: int, vector: int) -> None:
    shape = RowShape(nm, 1, dtype, rows=2, unroll=unroll, ahead=512, vector=vector)
    lines = unroll // shape.blocks_per_line
    # Unrolled blocks, then the loop over the blocks left, one by one.
    assert emitted(shape).count('call void @"llvm.prefetch') == shape.rows * (lines + 1)
    assert "llvm.prefetch" not in emitted(shape._replace(ahead=0))
    assert CHUNK_BLOCKS % unroll == 0


@pytest.mark.parametrize("stored", sorted(code_ir.NIBBLES))
@pytest.mark.parametrize(("vector", "has"), [(16, True), (16, False), (8, True), (4, False)])
def test_sixteen_lanes_and_avx512_alone_look_codes_up(stored, vector, has, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(code_ir, "has_table_lookup", lambda: has)
    text = emitted(RowShape(0, 1, stored, unroll=8, vector=vector))
    assert ("permvar.sf.512" in text) == (vector == 16 and has)
