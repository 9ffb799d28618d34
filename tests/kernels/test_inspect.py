"""Reading compiled kernels: a recorded listing, occupancy by hand, and gates on what nvcc makes of the real kernels.

The recorded kernel multiplies one 16-byte vector per lane and pass, and waits on a flag in a loop nested in the pass::

    for (int i = threadIdx.x; i < n; i += 32) {
        uint4 v = w[i];
        while (flag[i] == 0) {}
        sum += __half2float(x[i]) * __uint_as_float(v.x ^ v.y ^ v.z ^ v.w);
    }
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mglubench.errors import UsageError
from mglubench.hardware.cuda_toolchain import compiler_release, find_tool, why_cannot_build
from mglubench.kernels.against_pins import Fate, hold_against
from mglubench.kernels.cuda_build import build_all
from mglubench.kernels.cuda_catalogue import BULK, MMA, SWIGLU, shared_tiles
from mglubench.kernels.cuda_kernel import CudaKernel
from mglubench.kernels.inspect import Subject, examine, subjects
from mglubench.kernels.occupancy import occupancy
from mglubench.kernels.pins import read_pins
from mglubench.kernels.sass import Work, loops_of, parse, short_name
from mglubench.kernels.tuning import Choice
from mglubench.report.pin_tables import held_row
from mglubench.system.resources import data_folder
from mglubench.variants.cuda_kernels import KERNELS
from mglubench.variants.registry import inspectable
from tests.conftest import ROOT

HERE = Path(__file__).resolve().parent
SASS = (HERE / "recorded" / "row_dots.sass").read_text()
NAME = "_ZN4demo8row_dotsILi1ELb1EEEvPK5uint4PK6__halfPViPfi"
RESOURCES = f" Function {NAME}:\n  REG:14 STACK:8 SHARED:1280 LOCAL:0 CONSTANT[0]:564 TEXTURE:0 SURFACE:0 SAMPLER:0\n"
cannot_inspect = why_cannot_build() or (None if find_tool("cuobjdump") else "no cuobjdump")
needs_tools = pytest.mark.skipif(cannot_inspect is not None, reason=str(cannot_inspect))


def test_a_listing_becomes_a_kernel_with_its_resources() -> None:
    (kernel,) = parse(SASS, RESOURCES)
    assert (kernel.name, kernel.title) == (NAME, "row_dots<1,1>")
    assert (kernel.registers, kernel.stack, kernel.shared) == (14, 8, 1280)
    assert kernel.instructions[0].opcode == "LDC"
    assert kernel.instructions[-1].opcode == "BRA"
    assert kernel.count("LDG") == 3
    assert kernel.count("STL", "LDL") == 0


def test_the_main_loop_leaves_nested_loops_out() -> None:
    (kernel,) = parse(SASS, RESOURCES)
    assert sorted(loop.instructions for loop in loops_of(kernel.instructions)) == [4, 20]
    work = Work("LDG.E.128", 256)
    loop = kernel.main_loop(work)
    assert loop is not None
    assert (loop.instructions, loop.elements(work)) == (20, 256)
    assert loop.count("LDG", "128") == 1
    assert loop.count("LDG", "U16") == 1
    assert loop.count("LDG", "STRONG") == 0
    assert kernel.main_loop(Work("HMMA", 1)) is None


@pytest.mark.parametrize(
    ("mangled", "expected"),
    [
        ("_ZN4mglu14flash_mglu_mmaILi1ELb1EEEvNS_6ParamsE", "flash_mglu_mma<1,1>"),
        ("_ZN4mglu21flash_mglu_paper_sumsILb0EEEvNS_6ParamsE", "flash_mglu_paper_sums<0>"),
        ("_ZN4mglu11stream_readENS_6ParamsE", "stream_read"),
        ("plain_c_name", "plain_c_name"),
    ],
)
def test_mangled_names_are_made_readable(mangled: str, expected: str) -> None:
    assert short_name(mangled) == expected


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks", "limit"),
    [
        # 128 registers: 65536 / (128 * 32) = 16 warps, 4 blocks of 4.
        ("sm_90a", 128, 128, 18 * 1024, 4, "registers"),
        # 102 KB and the reserve: two fit 228 KB, one of 100 KB and the reserve does not fit 100 KB twice.
        ("sm_90a", 128, 128, 104552, 2, "shared memory"),
        ("sm_90a", 1024, 32, 0, 2, "registers"),
        ("sm_80", 32, 16, 0, 32, "blocks"),
        ("sm_120a", 256, 32, 0, 6, "warps"),
    ],
)
def test_occupancy_by_hand(arch: str, threads: int, registers: int, shared: int, blocks: int, limit: str) -> None:
    room = occupancy(arch, threads, registers, shared)
    assert (room.blocks, room.limited_by) == (blocks, limit)
    assert room.warps == blocks * threads // 32


def test_subjects_are_what_exists() -> None:
    items = subjects(inspectable(), [], ["sm_90a"], [1, 8], ["float16", "float32"])
    assert Subject("flash-mglu-mma", "sm_90a", 8, "float16") in items
    assert Subject("swiglu-fused", "sm_90a", 0, "float16") in items
    assert not [item for item in items if item.dtype == "float32" and item.variant.startswith("flash-mglu-mma")]
    with pytest.raises(UsageError, match="has no kernel to inspect"):
        subjects(inspectable(), ["swiglu"], ["sm_90a"], [1], ["float16"])


EMULATION = HERE.parent / "kernels_cuda" / "emu"


@pytest.mark.skipif(shutil.which("g++") is None or not EMULATION.is_dir(), reason="no g++ on PATH")
@pytest.mark.parametrize("nm", [1, 4, 8, 16])
@pytest.mark.parametrize("kernel", [MMA, BULK, SWIGLU], ids=lambda kernel: kernel.source)
def test_shared_memory_is_what_the_source_computes(kernel: CudaKernel, nm: int, tmp_path: Path) -> None:
    choice = Choice.of(RING=2, SEGMENT=256) if kernel is BULK else Choice()
    for tried in (Choice(), choice):
        wanted = kernel.shared_bytes(nm, tried)
        actual = "kSharedBytes" if kernel is BULK else "reduction_bytes<mglu::kSums>()"
        source = tmp_path / "check.cpp"
        check = f'static_assert(mglu::{actual} == {wanted}, "bytes");'
        source.write_text(f'#include "cuda_emu.h"\n#include "{kernel.source}.cu"\n{check}\n')
        macros = [f"-D{name}={value}" for name, value in (("MGLU_NM", nm), *tried.macros)]
        folders = [f"-I{data_folder('kernels_cuda')}", f"-I{EMULATION}"]
        command = ["g++", "-std=c++17", "-fsyntax-only", "-DCUDA_EMU", "-w", *macros, *folders, str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:1500]


@pytest.mark.skipif(shutil.which("g++") is None or not EMULATION.is_dir(), reason="no g++ on PATH")
def test_shared_tiles_are_those_of_the_source(tmp_path: Path) -> None:
    """Tiles, steps along k, multiprocessors with 4 blocks each, split_k."""
    tried = [(896, 64, 132, 0), (512, 32, 99, 0), (320, 64, 132, 0), (1, 256, 132, 0), (7, 3, 2, 0), (528, 64, 132, 0)]
    tried += [(896, 64, 132, 1), (896, 64, 132, 3), (5, 4, 1, 9), (896, 64, 0, 0)]
    lines = ['#include "cuda_emu.h"', '#include "tile_grid.cuh"']
    lines += [
        "constexpr mglu::TileGrid grid(int tiles, int steps, int split_k, int sm_count) {",
        "    MgluArgs a = {};",
    ]
    lines += ["    a.split_k = split_k, a.sm_count = sm_count;"]
    lines += ["    return mglu::choose_grid(a, tiles, steps, 8, 4);", "}"]
    for tiles, steps, multiprocessors, split_k in tried:
        shared, parts = shared_tiles(tiles, steps, 8, 4 * multiprocessors, split_k)
        made = f"grid({tiles}, {steps}, {split_k}, {multiprocessors})"
        lines.append(f"static_assert({made}.split == {parts} && {made}.units_per_part == {-(-steps // parts)});")
        if parts > 1:
            lines.append(f"static_assert({made}.tiles - {made}.whole == {shared});")
    source = tmp_path / "check.cpp"
    source.write_text("\n".join([*lines, ""]))
    folders = [f"-I{data_folder('kernels_cuda')}", f"-I{EMULATION}"]
    command = ["g++", "-std=c++17", "-fsyntax-only", "-DCUDA_EMU", "-w", *folders, str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:1500]


@pytest.mark.skipif(shutil.which("g++") is None or not EMULATION.is_dir(), reason="no g++ on PATH")
def test_bound_warps_are_those_of_the_source(tmp_path: Path) -> None:
    for nm in (1, 3, 6):
        source = tmp_path / "check.cpp"
        bound = MMA.bound_warps(MMA.job(2048, 8192, nm, 16, "float16"))
        check = f"static_assert(4 * mglu::min_blocks<2, true>() == {bound});"
        source.write_text(f'#include "cuda_emu.h"\n#include "flash_mglu_mma.cu"\n{check}\n')
        command = ["g++", "-std=c++17", "-fsyntax-only", "-DCUDA_EMU", "-w", f"-DMGLU_NM={nm}"]
        folders = [f"-I{data_folder('kernels_cuda')}", f"-I{EMULATION}"]
        done = subprocess.run([*command, *folders, str(source)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:1500]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Rows of every CUDA kernel at nm = 8 in fp16 for sm_90a, by variant."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MGLUBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    targets = [kind.kernel.target("sm_90a", 8, "float16", Choice()) for kind in KERNELS]
    assert not [error for _, error in build_all(targets, workers=2) if error]
    items = [
        (kind.kernel, Subject(kind.name, "sm_90a", 8 if kind.layer == "mglu" else 0, "float16")) for kind in KERNELS
    ]
    yield {item.variant: examine(kernel, item) for kernel, item in items}
    patch.undo()


@needs_tools
@pytest.mark.parametrize("variant", [kind.name for kind in KERNELS])
def test_no_kernel_spills(compiled: dict[str, list[dict[str, Any]]], variant: str) -> None:
    for row in compiled[variant]:
        assert row["status"] == "ok", row.get("reason")
        assert row["local_bytes"] == 0, row["kernel"]
        assert row["spill_instructions"] == 0, row["kernel"]


@needs_tools
@pytest.mark.parametrize("variant", [kind.name for kind in KERNELS])
def test_the_entry_kernel_and_its_main_loop_are_found(compiled: dict[str, list[dict[str, Any]]], variant: str) -> None:
    first, *others = compiled[variant]
    assert first["entry"], [row["kernel"] for row in compiled[variant]]
    assert not any(row["entry"] for row in others)
    assert first["instructions_per_element"] > 0
    assert first["loop_elements"] % 32 == 0
    assert first["occupancy"] > 0


@needs_tools
@pytest.mark.parametrize(
    ("variant", "most"), [("flash-mglu-mma", 0.40), ("flash-mglu-bulk", 0.50), ("swiglu-fused", 0.06)]
)
def test_instructions_per_weight_element(compiled: dict[str, list[dict[str, Any]]], variant: str, most: float) -> None:
    assert compiled[variant][0]["instructions_per_element"] <= most


@needs_tools
@pytest.mark.parametrize("variant", ["flash-mglu-mma", "flash-mglu-packed", "swiglu-fused", "stream-read-cuda"])
def test_weights_are_loaded_16_bytes_at_a_time(compiled: dict[str, list[dict[str, Any]]], variant: str) -> None:
    row = compiled[variant][0]
    assert row["loads_16"] * 256 >= row["loop_elements"]
    assert row["loads_8"] == 0


@needs_tools
def test_every_element_of_the_bulk_ring_is_read_16_bytes_at_a_time(
    compiled: dict[str, list[dict[str, Any]]],
) -> None:
    row = compiled["flash-mglu-bulk"][0]
    assert row["shared_loads_16"] * 256 >= row["loop_elements"]


PINNED = ROOT / "reports" / "inspect-sm_90a" / "inspect.json"


@needs_tools
@pytest.mark.skipif(not PINNED.is_file(), reason="a source distribution has no reports")
def test_the_kernels_are_as_they_are_pinned(compiled: dict[str, list[dict[str, Any]]]) -> None:
    """As `mglubench inspect --against` would say; what `compiled` has built is not built again."""
    pins, compiler, known = read_pins(PINNED), compiler_release(), inspectable()
    items = subjects(known, [], pins.archs, pins.nms, pins.dtypes)
    rows = [row for item in items for row in examine(known[item.variant], item)]
    assert [row["kernel"] for row in rows if row.get("local_bytes") or row.get("spill_instructions")] == []
    if compiler not in {version for found in pins.rows.values() for version in found}:
        pytest.skip(f"nothing is pinned for compiler {compiler}")
    found = hold_against(pins, rows, {key.subject for key in pins.rows} | set(items), compiler)
    assert len(found.held) >= 30
    different = [held_row(item)["words"] for item in found.held if item.fate != Fate.SAME]
    assert different == [], "look at `mglubench inspect --against`, then pin anew with --save FILE --force"


LOWBIT = PINNED.with_name("lowbit.json")
# Warp instructions per weight that were promised of int8, by nm.
INT8_BUDGETS = {1: 0.20, 4: 0.35}


@pytest.mark.skipif(not LOWBIT.is_file(), reason="a source distribution has no reports")
def test_what_is_pinned_of_weight_formats_keeps_its_promises() -> None:
    """The kernels that a few tokens are launched with; of all others one is known to spill."""
    rows = [row for found in read_pins(LOWBIT).rows.values() for row in found.values()]
    few = [row for row in rows if row["entry"]]
    assert {(row["variant"], row["dtype"]) for row in few} == {
        (kernel.name, name) for kernel in KERNELS if kernel.kernel.formats for name in kernel.kernel.formats
    }
    assert all(row["spill_instructions"] == row["local_bytes"] == 0 and row["loads_less"] == 0 for row in few)
    assert all(row["loads_16"] >= 6 for row in few)
    told = {row["nm"]: row["instructions_per_element"] for row in few if row["dtype"] == "int8"}
    assert all(told[nm] <= most for nm, most in INT8_BUDGETS.items()), told
    spilled = {(row["dtype"], row["nm"], row["kernel"]) for row in rows if row["local_bytes"]}
    assert spilled <= {("mxfp4", 8, "flash_mglu_mma<2,1>")}


@needs_tools
@pytest.mark.skipif(not LOWBIT.is_file(), reason="a source distribution has no reports")
def test_the_int8_kernel_is_as_it_is_pinned() -> None:
    """One of them compiled again; all are by `mglubench inspect --against reports/inspect-sm_90a/lowbit.json`."""
    pins, compiler, item = read_pins(LOWBIT), compiler_release(), Subject("flash-mglu-mma", "sm_90a", 1, "int8")
    if not any(compiler in found for found in pins.rows.values()):
        pytest.skip(f"nothing is pinned for compiler {compiler}")
    found = hold_against(pins, examine(MMA, item), {item}, compiler)
    assert [held_row(each)["words"] for each in found.held if each.fate != Fate.SAME] == []
    assert found.held
