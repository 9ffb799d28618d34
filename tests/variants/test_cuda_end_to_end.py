"""The whole path of the CUDA variants without a GPU: packing, arguments, launch, result against float64.

The library is the kernel's own source compiled with g++ (host emulation, not a GPU run: see tests/kernels_cuda), so its
pointers are host pointers; torch's device and stream are stood in for. Sizes are odd, so that rows are padded.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mglubench.cases.case import Case
from mglubench.kernels import cuda_build, cuda_call, cuda_kernel, on_device
from mglubench.kernels.cuda_build import Target
from mglubench.kernels.cuda_catalogue import BULK
from mglubench.kernels.operator_backends import BACKENDS
from mglubench.kernels.tuning import Choice, Gpu, remember
from mglubench.layer.input_set import InputSet
from mglubench.layer.masks import pack
from mglubench.layer.problem import Problem
from mglubench.layer.tolerance import TOLERANCES
from mglubench.nn import functional as ops
from mglubench.system.resources import data_folder
from mglubench.variants.cuda_kernels import KERNELS, CudaVariant, FlashMGLUMma, FlashMGLUPaper

EMULATION = Path(__file__).resolve().parent.parent / "kernels_cuda" / "emu"
pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or platform.machine() != "x86_64" or not EMULATION.is_dir(),
    reason="the host emulation needs g++ on x86-64",
)
FLAGS = ("-std=c++17", "-O2", "-mf16c", "-mfma", "-ffp-contract=off", "-w", "-shared", "-fPIC", "-DCUDA_EMU")
# Few multiprocessors, so that some launches split k and use the workspace.
GPU = Gpu("emulated", "sm_90a", 4)


@dataclass
class Stream:
    """A stand-in for torch's stream: the emulation runs at once."""

    cuda_stream: int

    def synchronize(self) -> None:
        pass


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A stand-in for ``build`` that compiles for the host."""
    folder = tmp_path_factory.mktemp("emulated")

    def build(target: Target) -> Path:
        made = folder / f"{target.label}.so"
        if not made.exists():
            sources = [str(data_folder("kernels_cuda") / f"{target.kernel}.cu"), str(EMULATION / "simt.cpp")]
            folders = [f"-I{EMULATION}", f"-I{data_folder('kernels_cuda')}"]
            command = ["g++", *FLAGS, *target.defines, *folders, "-include", "cuda_emu.h", "-x", "c++", *sources]
            done = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
        return made

    return build


@pytest.fixture(autouse=True)
def stand_ins(emulated: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MGLUBENCH_TUNING", str(tmp_path / "tuning.json"))
    monkeypatch.setattr(cuda_kernel, "build", emulated)
    monkeypatch.setattr(cuda_build, "build", emulated)
    monkeypatch.setattr(cuda_call, "gpu_of", lambda device: GPU)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream(0))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    cuda_call.forget()


def problem_of(kind: type[CudaVariant], dtype: str, h: int, d: int, nm: int, batch: int) -> Problem:
    masked = kind.layer == "mglu"
    mask = "bernoulli:0.5" if masked else "none"
    case = Case(kind.name, h, d, nm if masked else 0, batch, dtype, "gelu", mask)
    return Problem.make(case, InputSet(case))


def masks_of(problem: Problem, layout: str) -> torch.Tensor:
    return on_device.masks_on_device(problem.inputs, problem.case.nm, layout, problem.weight.device)


def error_of(y: torch.Tensor, problem: Problem, layer: Any, fresh: int) -> float:
    expected = problem.inputs.reference(layer, problem.case.nm, fresh)
    return float(np.linalg.norm(y.double().numpy() - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", KERNELS, ids=lambda kind: kind.name)
def test_a_prepared_launch_agrees_with_float64(kind: type[CudaVariant], dtype: str) -> None:
    variant = kind()
    for h, d, batch in ((700, 21, 3), (1027, 5, 1)):
        problem = problem_of(kind, dtype, h, d, 3, batch)
        launch = variant.prepare(problem)
        for fresh in (0, 1, 0):
            problem.load(fresh)
            launch()
            assert error_of(problem.y, problem, kind.layer, fresh) <= TOLERANCES[dtype].relative


def test_a_split_launch_declares_its_partial_sums() -> None:
    kind = next(kind for kind in KERNELS if kind.name == "flash-mglu-mma")
    variant, problem = kind(), problem_of(kind, "float16", 2048, 16, 1, 1)
    before = variant.declare(problem.case).scratch
    variant.prepare(problem)
    assert (before, variant.declare(problem.case).scratch > 0) == (0, True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_operator_takes_any_number_of_tokens(dtype: str) -> None:
    kind = next(kind for kind in KERNELS if kind.name == "flash-mglu-mma")
    problem = problem_of(kind, dtype, 700, 21, 3, 19)
    weight = on_device.pad_columns(problem.weight, BACKENDS["cuda"].row_multiple)
    masks = torch.from_numpy(pack(problem.masks(), BACKENDS["cuda"].layout).data)
    y = ops._on_cuda(problem.x, weight, masks, 3, "gelu")
    assert error_of(y, problem, "mglu", 0) <= TOLERANCES[dtype].relative
    assert ops._on_cuda(problem.x[:0], weight, masks, 3, "gelu").shape == (0, 21)


def operator_error(problem: Problem) -> float:
    weight = on_device.pad_columns(problem.weight, BACKENDS["cuda"].row_multiple)
    masks = torch.from_numpy(pack(problem.masks(), BACKENDS["cuda"].layout).data)
    y = ops._on_cuda(problem.x, weight, masks, problem.case.nm, problem.case.activation)
    return error_of(y, problem, "mglu", 0)


def test_the_operator_ships_a_tuned_bulk_kernel(emulated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(cuda_kernel, "build", lambda target: built.append(target.label) or emulated(target))
    problem = problem_of(FlashMGLUMma, "float16", 700, 21, 3, 2)
    job = BULK.job(700, 21, 3, 2, "float16")
    remember(GPU.name, job, Choice.of(2, RING=2, SEGMENT=256), 1000.0)
    assert operator_error(problem) <= TOLERANCES["float16"].relative
    assert built == ["flash_mglu_bulk-nm3-float16-sm_90a-ring2-segment256"]


def test_calls_of_one_stream_share_what_is_kept_and_stay_right() -> None:
    # Both split k. 60 rows are four tiles and 12 rows one: what a launch leaves behind must suit the next one.
    problems = [problem_of(FlashMGLUMma, "float16", 2048, d, 2, batch) for d, batch in ((60, 1), (12, 1), (12, 9))]
    for _ in range(2):
        for problem in problems:
            assert operator_error(problem) <= TOLERANCES["float16"].relative


def test_masks_of_one_layout_are_packed_once_and_no_replica_shares_their_memory(monkeypatch: Any) -> None:
    packed: list[str] = []

    def counted(masks: Any, layout: str) -> Any:
        packed.append(layout)
        return pack(masks, layout)

    monkeypatch.setattr(on_device, "pack", counted)
    problem = problem_of(FlashMGLUPaper, "float16", 64, 4, 2, 1)
    first, second = masks_of(problem, "bytes"), masks_of(problem.replica(), "bytes")
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()
    assert packed == ["bytes"]
    other = masks_of(problem, "row-1024")
    assert other.numel() == 4 * 1024 * 2 // 8
    assert torch.equal(masks_of(problem, "bytes"), first)
