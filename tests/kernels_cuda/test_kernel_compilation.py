"""Every kernel compiles for every architecture without spills; the main loop keeps to its instruction budget."""

from __future__ import annotations

import ctypes
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import sass
from kernel_emulator import KERNELS

needs_nvcc = pytest.mark.skipif(sass.nvcc() is None, reason="no nvcc on PATH or in the environment's wheels")
needs_disassembler = pytest.mark.skipif(sass.nvdisasm() is None, reason="no nvdisasm on PATH or in the wheels")

ARCHITECTURES = ("80", "90a", "100a", "120a")
# Each kernel for each architecture, nm = 8 where registers are scarce; the bounds of nm for sm_90a.
ONE_NM = {"flash_mglu_mma": 8, "flash_mglu_bulk": 4, "flash_mglu_packed": 4, "flash_mglu_paper": 8}
KERNEL_NM = {**ONE_NM, "flash_mglu_routed": 8, "swiglu_fused": 1, "stream_read": 1}
CUBINS = [(kernel, arch, nm) for kernel, nm in KERNEL_NM.items() for arch in ARCHITECTURES]
# Architectures of other cards that people own: one kernel each, what differs most there. All six compiled for all of
# them without a spill when they were added.
CUBINS += [("flash_mglu_mma", "86", 1), ("flash_mglu_paper", "89", 1), ("flash_mglu_bulk", "103a", 1)]
CUBINS += [("flash_mglu_bulk", "110a", 1), ("flash_mglu_bulk", "121a", 1), ("stream_read", "87", 1)]
CUBINS += [("flash_mglu_bulk", "90a", 8), ("flash_mglu_packed", "90a", 8), ("flash_mglu_packed", "90a", 16)]
# Warp instructions per weight element of the fast path (batch up to 8, aligned x); the gate at nm = 8 is 0.40.
BUDGETS = {1: 0.08, 2: 0.12, 3: 0.15, 4: 0.18, 5: 0.22, 6: 0.25, 7: 0.29, 8: 0.32, 16: 0.60}


@needs_nvcc
@pytest.mark.parametrize(("kernel", "arch", "nm"), CUBINS)
def test_compiles_without_spills(kernel: str, arch: str, nm: int, tmp_path: Path) -> None:
    bf16 = int(arch in ("80", "120a"))
    kernels = sass.compile_cubin(kernel, arch, [f"MGLU_NM={nm}", f"MGLU_BF16={bf16}"], tmp_path / "kernel.cubin")
    assert kernels
    assert not [resources for resources in kernels if resources.spilled_bytes]


@needs_nvcc
@needs_disassembler
@pytest.mark.parametrize("nm", BUDGETS)
def test_instructions_per_weight_element_on_hopper(nm: int, tmp_path: Path) -> None:
    cubin = tmp_path / "kernel.cubin"
    kernels = sass.compile_cubin("flash_mglu_mma", "90a", [f"MGLU_NM={nm}", "MGLU_BF16=0"], cubin)
    assert not [resources for resources in kernels if resources.spilled_bytes]
    loops = sass.main_loops(cubin)
    (loop,) = (loops[name] for name in loops if "ILi1ELb1E" in name)
    assert loop.per_element(nm + 1) <= BUDGETS[nm], loop
    loads = Counter({opcode: count for opcode, count in loop.opcodes.items() if opcode.startswith("LDG")})
    wide = sum(count for opcode, count in loads.items() if ".128" in opcode)
    narrow = sum(loads.values()) - wide
    units = loop.count("HMMA") // (4 * (nm + 1))  # 64-column steps per iteration
    assert wide == units * (4 + 2 + nm // 4)  # w, x, masks of four words
    assert narrow == units * ((nm % 4 >= 2) + nm % 2)


@needs_nvcc
@needs_disassembler
@pytest.mark.parametrize(("nm", "most"), [(1, 0.20), (4, 0.35)])
def test_instructions_per_int8_weight_on_hopper(nm: int, most: float, tmp_path: Path) -> None:
    cubin = tmp_path / "kernel.cubin"
    kernels = sass.compile_cubin("flash_mglu_mma", "90a", [f"MGLU_NM={nm}", "MGLU_FORMAT=1"], cubin)
    assert not [resources for resources in kernels if resources.spilled_bytes]
    loops = sass.main_loops(cubin)
    (loop,) = (loops[name] for name in loops if "ILi1ELb1E" in name)
    assert loop.per_element(nm + 1) <= most, loop
    units = loop.count("HMMA") // (4 * (nm + 1))
    # Codes and x, and masks of four words, are loaded 16 bytes at a time; what is narrower are masks.
    assert sum(count for opcode, count in loop.opcodes.items() if "LDG" in opcode and ".128" in opcode) == units * (
        2 + 2 + nm // 4
    )


@needs_nvcc
@pytest.mark.parametrize(
    ("kernel", "arch", "form"), [("flash_mglu_mma", "80", 3), ("swiglu_fused", "100a", 2), ("swiglu_fused", "120a", 4)]
)
def test_formats_compile_elsewhere(kernel: str, arch: str, form: int, tmp_path: Path) -> None:
    assert sass.compile_cubin(kernel, arch, ["MGLU_NM=1", f"MGLU_FORMAT={form}"], tmp_path / "kernel.cubin")


@needs_nvcc
def test_shared_library_loads_and_checks_its_arguments_without_a_gpu(tmp_path: Path) -> None:
    library = tmp_path / "stream_read.so"
    command = [str(sass.nvcc()), "-std=c++17", "-O3", "-arch=sm_90a", "-shared", "-Xcompiler", "-fPIC"]
    subprocess.run([*command, "-o", str(library), str(KERNELS / "stream_read.cu")], check=True, capture_output=True)
    loaded = ctypes.CDLL(str(library))
    loaded.mglu_mask_layout.restype = ctypes.c_char_p
    assert loaded.mglu_abi_version() == 1
    assert loaded.mglu_mask_layout() == b""
    assert loaded.mglu_launch(None, None) == -1


def test_inline_ptx_sits_in_one_header() -> None:
    holders = [path.name for path in KERNELS.iterdir() if path.suffix in (".cu", ".cuh") and "asm" in path.read_text()]
    assert holders == ["ptx.cuh"]
