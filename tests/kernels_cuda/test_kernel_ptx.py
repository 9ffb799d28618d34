"""What the host emulation cannot execute, read in nvcc's PTX: every asm statement, conversions, shuffles."""

from __future__ import annotations

from pathlib import Path

import pytest
from battery import BULK, KERNELS, MASKED, MMA, PACKED, PAPER, ROUTED, STREAM
from kernel_emulator import KERNELS as FOLDER
from ptx_table import LOP3, TABLE, barriers, expected, lop3_immediates, specials
from ptx_text import PROBE, check_probe, compile_ptx, products, roundings, shuffles
from sass import nvcc

pytestmark = pytest.mark.skipif(nvcc() is None, reason="no nvcc on PATH or in the environment's wheels")

BUTTERFLY = {("shfl.sync.bfly.b32", distance, 31, -1) for distance in (16, 8, 4, 2, 1)}


@pytest.mark.parametrize("bf16", [False, True])
def test_inline_asm_is_what_it_is_meant_to_be(bf16: bool, tmp_path: Path) -> None:
    check_probe(compile_ptx(PROBE, [f"MGLU_BF16={int(bf16)}"], tmp_path / "probe.ptx"), bf16)


@pytest.mark.parametrize("bytes_ahead", [0, 64, 256])
def test_loads_ask_l2_for_what_the_macro_says(bytes_ahead: int, tmp_path: Path) -> None:
    ptx = compile_ptx(PROBE, [f"MGLU_L2_PREFETCH={bytes_ahead}"], tmp_path / "probe.ptx")
    hint = f".L2::{bytes_ahead}B" if bytes_ahead else ""
    assert ptx.count(f"ld.global.nc.L1::no_allocate{hint}.v4.u32") == 1
    assert ptx.count("L2::") == (3 if bytes_ahead else 0)


def test_the_table_has_a_source_for_every_instruction_and_a_reader_finds_changed_ones():
    assert all(each.source.startswith(("ISA ", "MATH ")) for each in TABLE)
    assert len({each.opcode for each in TABLE}) == len(TABLE)
    changed = "\tcvt.rz.f16.f32 %rs1, %f1;\n\t@%p1 mul.rz.f32 %f2, %f3, %f4;\n\tlop3.b32 %r1, %r2, %r3, %r4, 0x96;\n"
    changed += "\tmma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f1}, {%r1};\n\tld.global.u32 %r1, [%rd1];\n"
    assert specials(changed) == {
        "cvt.rz.f16.f32",
        "mul.rz.f32",
        "lop3.b32",
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32",
    }
    assert lop3_immediates(changed) == {0x96}


@pytest.mark.parametrize(("kernel", "bf16"), [(kernel, i % 2 == 1) for i, kernel in enumerate(KERNELS)])
def test_a_kernel_rounds_to_nearest_and_sums_over_all_lanes(kernel: str, bf16: bool, tmp_path: Path) -> None:
    defines = [f"MGLU_NM={2 if kernel in MASKED else 1}", f"MGLU_BF16={int(bf16)}"]
    ptx = compile_ptx(FOLDER / f"{kernel}.cu", defines, tmp_path / "kernel.ptx")
    assert specials(ptx) == expected(kernel, bf16)
    assert lop3_immediates(ptx) == (LOP3 if kernel in (MMA, BULK, ROUTED) else set())
    assert barriers(ptx) <= {"0"}
    assert roundings(ptx) == {"cvt.rn.bf16.f32" if bf16 else "cvt.rn.f16.f32"}
    # A product that one sum fused and another did not would not cancel where the value is what the gate leaves.
    assert products(ptx) == ({"mul.rn.f32"} if kernel in (PACKED, PAPER) else set())
    assert shuffles(ptx) == (BUTTERFLY if kernel in (PACKED, ROUTED, STREAM, PAPER) else set())
