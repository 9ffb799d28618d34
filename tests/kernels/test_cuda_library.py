"""The C interface: struct and codes against the header, a stand-in library, what a real one refuses without a GPU."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mglubench.cases.case import Case
from mglubench.errors import BuildError, MglubenchError, UnavailableError
from mglubench.hardware.cuda_toolchain import why_cannot_build
from mglubench.kernels import cuda_library
from mglubench.kernels.cuda_build import Target, build
from mglubench.kernels.cuda_library import ABI_VERSION, ACTIVATION_CODES, STATUS, KernelLibrary, MgluArgs, load
from mglubench.layer.masks import LAYOUTS
from mglubench.system.resources import data_folder
from mglubench.variants.cuda_kernels import KERNELS, CudaVariant

SOURCES = data_folder("kernels_cuda")
HEADER = (SOURCES / "launch_abi.h").read_text()
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on PATH")
needs_nvcc = pytest.mark.skipif(why_cannot_build() is not None, reason=str(why_cannot_build()))

STAND_IN = """
#include "launch_abi.h"
extern "C" {
int mglu_launch(const MgluArgs* a, void* stream) { return stream == (void*)7 ? a->split_k : 1000; }
int mglu_prepare(const MgluArgs* a) { return a->split_k; }
size_t mglu_workspace_bytes(const MgluArgs* a) { return (size_t)a->d * a->h * a->batch; }
int mglu_abi_version(void) { return VERSION; }
const char* mglu_mask_layout(void) { return "bytes"; }
const char* mglu_weight_format(void) { return "same"; }
}
"""


def compile_here(folder: Path, source: str, *options: str) -> Path:
    (folder / "source.cpp").write_text(source)
    # A name of its own each time: the loader takes an overwritten file for the one that it knows.
    made = folder / f"made-{len(list(folder.iterdir()))}"
    command = ["g++", "-std=c++17", f"-I{SOURCES}", *options, str(folder / "source.cpp"), "-o", str(made)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return made


@needs_compiler
def test_struct_has_the_layout_of_the_header(tmp_path: Path) -> None:
    names = [name for name, _ in MgluArgs._fields_]
    lines = [f'std::printf("{name} %zu %zu\\n", offsetof(MgluArgs, {name}), sizeof(a.{name}));' for name in names]
    body = "\n".join(["MgluArgs a;", *lines, 'std::printf("all %zu 0", sizeof a);'])
    program = f'#include <cstdio>\n#include "launch_abi.h"\nint main() {{ {body} }}'
    printed = subprocess.run([compile_here(tmp_path, program)], capture_output=True, text=True, check=True).stdout
    expected = [f"{name} {getattr(MgluArgs, name).offset} {getattr(MgluArgs, name).size}" for name in names]
    assert printed.splitlines() == [*expected, f"all {ctypes.sizeof(MgluArgs)} 0"]


def test_no_field_and_no_code_of_the_header_is_missing() -> None:
    struct = HEADER[HEADER.index("typedef struct MgluArgs") :]
    fields = re.findall(r"^\s+(?:const )?(?:void\*|int32_t) (\w+);", struct, re.MULTILINE)
    assert fields == [name for name, _ in MgluArgs._fields_]
    codes = {int(code) for code in re.findall(r"MGLU_ERR_\w+ = (-\d+)", HEADER)}
    assert codes == set(STATUS)
    for name, code in ACTIVATION_CODES.items():
        assert f"MGLU_{name.upper()} = {code}," in HEADER
    assert f"#define MGLU_ABI_VERSION {ABI_VERSION}" in HEADER


@needs_compiler
def test_arguments_arrive_and_every_code_is_checked(tmp_path: Path) -> None:
    library = KernelLibrary(compile_here(tmp_path, STAND_IN, "-shared", "-fPIC", f"-DVERSION={ABI_VERSION}"))
    assert library.mask_layout == "bytes"
    assert library.workspace_bytes(MgluArgs(h=3_000_000, d=2000, batch=16)) == 3_000_000 * 2000 * 16
    library.launch(MgluArgs(), 7)
    library.prepare(MgluArgs())
    for code, text in STATUS.items():
        expected = UnavailableError if code in (cuda_library.ARCH, cuda_library.SHARED_MEMORY) else MglubenchError
        with pytest.raises(expected, match=re.escape(text)):
            library.launch(MgluArgs(split_k=code), 7)
    with pytest.raises(MglubenchError, match="CUDA error 719"):
        library.prepare(MgluArgs(split_k=719))


@needs_compiler
def test_another_interface_version_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="interface version 99"):
        KernelLibrary(compile_here(tmp_path, STAND_IN, "-shared", "-fPIC", "-DVERSION=99"))
    with pytest.raises(BuildError, match="delete it to build anew"):
        KernelLibrary(compile_here(tmp_path, 'extern "C" int other() { return 0; }', "-shared", "-fPIC"))
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(BuildError, match="delete it to build anew"):
        KernelLibrary(tmp_path / "text.so")


@needs_nvcc
def test_a_real_library_refuses_bad_arguments_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path))
    library = load(build(Target("flash_mglu_paper", 2, "float16", "sm_80")))
    assert library.mask_layout == "bytes"
    assert library.workspace_bytes(MgluArgs(h=64, d=10, nm=2, batch=3)) == 4 * 2 * 2 * 10 * 3
    with pytest.raises(MglubenchError, match="null"):
        library.launch(MgluArgs(h=64, d=10, nm=2, batch=1, w_row_stride=64), 0)
    some = ctypes.create_string_buffer(4096)
    place = (ctypes.addressof(some) + 15) // 16 * 16
    pointers = dict.fromkeys(("w", "masks", "x", "y", "workspace"), place)
    with pytest.raises(MglubenchError, match="another nm"):
        library.launch(MgluArgs(**pointers, h=8, d=4, nm=3, batch=1, w_row_stride=8), 0)
    with pytest.raises(MglubenchError, match="multiple of 8"):
        library.launch(MgluArgs(**pointers, h=8, d=4, nm=2, batch=1, w_row_stride=12), 0)


@pytest.mark.parametrize("kind", KERNELS, ids=lambda kind: kind.name)
def test_variant_packs_what_its_kernel_reads(kind: type[CudaVariant]) -> None:
    source = (SOURCES / f"{kind.kernel.source}.cu").read_text()
    named = re.search(r'MGLU_EXPORT_IDENTITY\("([^"]*)"\)', source)
    assert named
    assert named[1] == kind.kernel.layout
    assert kind.kernel.layout in ("", *LAYOUTS)
    assert kind.name == kind.kernel.source.replace("_", "-") or kind.name == "stream-read-cuda"


def test_declared_bytes_hold_padding_passes_and_partial_sums() -> None:
    kinds = {kind.name: kind() for kind in KERNELS}
    case = Case("flash-mglu-mma", 100, 10, 3, 3, "float16")
    mma = kinds["flash-mglu-mma"].declare(case)
    assert mma.weights == 10 * 104 * 2
    assert mma.masks == 16 * 128 * 3 // 8
    assert mma.scratch == 0
    packed = kinds["flash-mglu-packed"].declare(case)
    assert packed.weights == 10 * 104 * 2
    assert packed.masks == 10 * 1024 * 3 // 8
    twice = kinds["flash-mglu-packed"].declare(Case("flash-mglu-packed", 100, 10, 3, 9, "float16"))
    assert twice.weights == 2 * packed.weights
    assert twice.masks == 2 * packed.masks
    paper = kinds["flash-mglu-paper"].declare(case)
    assert paper.masks == 3 * 10 * 100
    assert paper.scratch == 3 * 4 * (2 * 3 * 10 * 3)
    swiglu = kinds["swiglu-fused"].declare(Case("swiglu-fused", 2048, 8192, dtype="bfloat16"))
    assert (swiglu.weights, swiglu.masks) == (2 * 2048 * 8192 * 2, 0)
    whole = kinds["flash-mglu-mma"].declare(Case("flash-mglu-mma", 2048, 8192, 8, 1, "float16"))
    assert whole.weights + whole.masks == 2048 * 8192 * (16 + 8) // 8


def test_what_a_kernel_cannot_take_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    variant = KERNELS[2]()
    assert variant.why_unsupported(Case("flash-mglu-mma", 8, 8, 9, 1, "float16")) == "nm=9 is not among 1 to 8 and 16"
    assert "dtype float32" in str(variant.why_unsupported(Case("flash-mglu-mma", 8, 8, 1, 1, "float32")))
    assert "batch=17" in str(variant.why_unsupported(Case("flash-mglu-mma", 8, 8, 1, 17, "float16")))
    assert variant.why_unavailable("cpu") == "runs on cuda only"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert variant.why_unavailable("cuda") == "no CUDA GPU can be used here"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 6))
    bulk = KERNELS[3]()
    assert bulk.why_unavailable("cuda") == "needs compute capability 9.0 or newer, this GPU has 8.6"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", KERNELS, ids=lambda kind: kind.name)
def test_variant_agrees_with_float64_on_the_gpu(kind: type[CudaVariant], dtype: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU can be used here")
    if reason := kind().why_unavailable("cuda"):
        pytest.skip(reason)
    from mglubench.executors.local import LocalSession

    session = LocalSession()
    for mode in ("hot", "graph"):
        for nm, batch, h, d in ((1, 1, 2048, 256), (3, 9, 1000, 33), (8, 16, 4096, 64)):
            masked = kind.layer == "mglu"
            mask = "bernoulli:0.5" if masked else "none"
            case = Case(kind.name, h, d, nm if masked else 0, batch, dtype, "silu", mask, mode, "cuda")
            session.prepare(case)
            session.finish(case)
    session.close()
