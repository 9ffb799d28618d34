"""The Numba CUDA kernels without a GPU: simulated against float64, compiled for four architectures.

The simulator runs the kernels' Python source with twins of the LLVM primitives; the primitives themselves are compiled
for the CPU and checked there; a compiled kernel's arithmetic on a GPU is what the marked test checks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mglubench.cases.case import Case
from mglubench.hardware.cuda_toolchain import find_tool
from mglubench.kernels import numba_cuda_kernels as kernels
from mglubench.kernels.numba_cuda_ir import why_nothing_compiles
from mglubench.layer.tolerance import TOLERANCES
from mglubench.variants.registry import get_variant
from tests.variants.judging import ON_A_CARD, agrees_on_a_card, asked_for, case_ids

HERE = Path(__file__).resolve().parent
NAMES = ("mglu-numba-naive", "mglu-numba-splitk", "mglu-numba-packed")
CAPABILITIES = ((8, 0), (9, 0), (10, 0), (12, 0))

# Odd sizes, every dtype, activation and kind of nm (a pair, a single one, fours and both, more than eight), every mask.
CASES = [
    Case("naive", 37, 9, 3, 2, "float16", "silu", "bernoulli:0.5"),
    Case("naive", 16, 3, 9, 1, "bfloat16", "gelu", "bernoulli:0.1"),
    Case("naive", 5, 2, 1, 1, "float32", "relu", "ones"),
    Case("splitk", 90, 5, 2, 2, "float16", "gelu", "bernoulli:0.5"),
    Case("splitk", 33, 3, 1, 1, "bfloat16", "silu", "zeros"),
    Case("splitk", 64, 4, 16, 1, "float32", "silu", "bernoulli:0.5"),
    Case("packed", 1100, 2, 7, 1, "float16", "silu", "bernoulli:0.5"),
    Case("packed", 71, 3, 1, 2, "bfloat16", "gelu", "bernoulli:0.5"),
    Case("packed", 1024, 1, 2, 1, "float32", "relu", "bernoulli:0.5"),
    Case("packed", 300, 1, 4, 1, "float16", "silu", "ones"),
    # More than one block of rows; 16 masks; more than eight tokens.
    Case("naive", 3, 34, 2, 1, "float16", "gelu", "bernoulli:0.5"),
    Case("splitk", 41, 33, 1, 1, "float16", "silu", "bernoulli:0.5"),
    Case("packed", 40, 2, 16, 1, "bfloat16", "silu", "bernoulli:0.5"),
    Case("packed", 9, 3, 2, 9, "float16", "gelu", "bernoulli:0.5"),
]
# What is not finite, under every activation.
BAD = [
    (Case(kernel, 33, 2, 2, 2, "float16", activation, "bernoulli:0.5"), bad)
    for kernel in ("naive", "splitk", "packed")
    for activation, bad in (("silu", "nan"), ("gelu", "inf"), ("relu", "nan"), ("relu", "-inf"))
]
TRIED = [*((case, "") for case in CASES), *BAD]


@pytest.fixture(scope="module")
def simulated(request: pytest.FixtureRequest) -> dict[str, tuple[float, float]]:
    """Errors of the cases that were asked for, from one process with the simulator."""
    program = HERE / "numba_simulator_program.py"
    cases = json.dumps([(case.to_dict(), bad) for case, bad in asked_for(request, "test_simulated")])
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, str(program), cases], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    errors: dict[str, tuple[float, float]] = json.loads(done.stdout.splitlines()[-1])
    return errors


@pytest.mark.parametrize(("case", "bad"), TRIED, ids=case_ids(TRIED))
def test_simulated_kernel_agrees_with_float64(simulated: dict[str, tuple[float, float]], case: Case, bad: str) -> None:
    relative, worst = simulated[case.key + bad]
    assert relative <= (0.0 if case.mask in ("ones", "zeros") else TOLERANCES[case.dtype].relative)
    assert worst <= 1.0


def signature(kernel: str, special: kernels.Special) -> Any:
    from numba import types

    element = types.float32 if special.dtype == "float32" else types.int16
    mask = types.uint8 if special.nm <= 8 else types.int16
    matrix, flat = types.Array(element, 2, "C"), types.Array(types.int32, 1, "C")
    masks, partial = types.Array(mask, 2, "C"), types.Array(types.float32, 3, "C")
    return {
        "naive": types.void(matrix, masks, matrix, matrix),
        "splitk_sums": types.void(matrix, masks, matrix, partial, types.int64),
        "splitk_activate": types.void(partial, matrix),
        "packed": types.void(flat, flat, flat, matrix, types.int64),
    }[kernel]


def compile_ptx(kernel: str, special: kernels.Special, capability: tuple[int, int]) -> str:
    from numba import cuda

    from mglubench.kernels.numba_cuda_ir import cuda_primitives

    if reason := why_nothing_compiles():
        pytest.skip(reason)
    function = getattr(kernels, kernel)(special, cuda_primitives())
    ptx, _ = cuda.compile_ptx(function, signature(kernel, special), device=False, cc=capability)
    return str(ptx)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("kernel", ["naive", "splitk_sums", "splitk_activate", "packed"])
def test_kernel_compiles_without_a_gpu(kernel: str, capability: tuple[int, int], tmp_path: Path) -> None:
    ptx = compile_ptx(kernel, kernels.Special(8, "float16", "silu"), capability)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assemble(ptx, capability, tmp_path)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("nm", [1, 3, 8, 16])
def test_packed_kernel_loads_16_bytes_and_keeps_its_sums_in_registers(nm: int, dtype: str, tmp_path: Path) -> None:
    ptx = compile_ptx("packed", kernels.Special(nm, dtype, "gelu"), (9, 0))
    assert ptx.count("ld.global.v4.") >= 2
    assert ".local" not in ptx
    assert "spill" not in assemble(ptx, (9, 0), tmp_path).replace("0 bytes spill", "")


def assemble(ptx: str, capability: tuple[int, int], folder: Path) -> str:
    """What ptxas -v says; it must accept the PTX."""
    ptxas = find_tool("ptxas")
    if ptxas is None:
        return ""
    source = folder / "kernel.ptx"
    source.write_text(ptx)
    target = f"-arch=sm_{capability[0]}{capability[1]}"
    command = [str(ptxas), "-v", target, str(source), "-o", str(folder / "kernel.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stderr


def test_primitives_are_right_where_a_cpu_can_run_them() -> None:
    from numba import njit, types
    from numba.extending import intrinsic

    from mglubench.kernels.numba_cuda_ir import intrinsics

    names = ("load4", "half_to_float", "float_to_half", "bits_to_float", "float_to_bits")
    run = {name: njit(_calling(function)) for name, function in zip(names, intrinsics(intrinsic, types), strict=True)}
    assert run["load4"](np.arange(16, dtype=np.int32), 8) == (8, 9, 10, 11)
    for value in (0.0, 1.0, -2.5, 65504.0, 6e-8, 1 / 3):
        half = np.float16(value)
        assert run["half_to_float"](half.view(np.int16)) == np.float32(half)
        assert run["float_to_half"](np.float32(value)) == half.view(np.int16)
        assert run["bits_to_float"](np.float32(value).view(np.int32)) == np.float32(value)
        assert run["float_to_bits"](np.float32(value)) == np.float32(value).view(np.int32)


def _calling(function: Any) -> Any:
    """A Python function around an intrinsic, which Numba cannot compile by itself."""

    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


@pytest.mark.parametrize("name", NAMES)
def test_variant_says_why_it_cannot_run_here(name: str) -> None:
    import torch

    variant = get_variant(name)
    assert variant.why_unavailable("cpu") == "runs on cuda only"
    if not torch.cuda.is_available():
        assert variant.why_unavailable("cuda") == "no CUDA GPU can be used here"


# NumPy without what numba-cuda asks of it when it first compiles, on a GPU that is said to be there.
_WITHOUT = """
import numpy
del numpy.row_stack
import torch
from numba import cuda
from mglubench.variants import numba_cuda
from mglubench.variants.registry import get_variant
numba_cuda.why_no_gpu = lambda: None
torch.cuda.is_available = cuda.is_available = lambda: True
print(get_variant("mglu-numba-packed").why_unavailable("cuda"))
"""


def test_a_numba_cuda_that_does_not_fit_its_numpy_is_a_reason() -> None:
    import inspect

    pytest.importorskip("numba_cuda")
    if why_nothing_compiles():
        pytest.skip("it does not fit this one")
    from numba.cuda.np import arrayobj

    if "np.row_stack" not in inspect.getsource(arrayobj):
        pytest.skip("this numba-cuda asks for nothing that NumPy gave up")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _WITHOUT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("Numba compiles no kernel for a GPU with numba-cuda ")
    assert "row_stack" in done.stdout


def test_declared_bytes_hold_padding_and_one_pass_per_token() -> None:
    case = Case("mglu-numba-packed", 1000, 10, 3, 2, "float16")
    ledger = get_variant("mglu-numba-packed").declare(case)
    assert ledger.weights == 2 * 10 * 1024 * 2
    assert ledger.masks == 2 * 10 * 1024 * 3 // 8
    assert ledger.scratch == 2 * 2 * 1024 * 2
    paper = get_variant("mglu-numba-splitk").declare(case)
    assert paper.masks == 2 * 10 * 1000
    assert paper.scratch == 3 * 2 * 3 * 4 * 10 * 2


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_variant_agrees_with_float64_on_the_gpu(name: str, dtype: str) -> None:
    for shape in ON_A_CARD:
        agrees_on_a_card(name, dtype, *shape)
