"""What the host emulation cannot execute, read in nvcc's PTX: every asm statement, conversions, shuffles."""

from __future__ import annotations

from pathlib import Path

import pytest
from battery import KERNELS, MASKED, PACKED, PAPER, STREAM
from kernel_emulator import KERNELS as FOLDER
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


@pytest.mark.parametrize(("kernel", "bf16"), [(kernel, i % 2 == 1) for i, kernel in enumerate(KERNELS)])
def test_a_kernel_rounds_to_nearest_and_sums_over_all_lanes(kernel: str, bf16: bool, tmp_path: Path) -> None:
    defines = [f"MGLU_NM={2 if kernel in MASKED else 1}", f"MGLU_BF16={int(bf16)}"]
    ptx = compile_ptx(FOLDER / f"{kernel}.cu", defines, tmp_path / "kernel.ptx")
    assert roundings(ptx) == {"cvt.rn.bf16.f32" if bf16 else "cvt.rn.f16.f32"}
    # A product that one sum fused and another did not would not cancel where the value is what the gate leaves.
    assert products(ptx) == ({"mul.rn.f32"} if kernel in (PACKED, PAPER) else set())
    assert shuffles(ptx) == (BUTTERFLY if kernel in (PACKED, STREAM, PAPER) else set())
