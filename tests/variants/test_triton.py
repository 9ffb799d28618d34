"""The Triton kernel without a GPU: interpreted against float64, compiled for four architectures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from mglubench.cases.case import Case
from mglubench.layer.tolerance import TOLERANCES
from mglubench.variants.registry import get_variant
from tests.variants.judging import ON_A_CARD, agrees_on_a_card, asked_for, case_ids

triton = pytest.importorskip("triton")
PROGRAM = Path(__file__).resolve().parent / "triton_program.py"

CASES = [
    Case("flash-mglu-triton", h, d, nm, batch, dtype, activation, mask)
    for h, d, nm, batch, dtype, activation, mask in (
        (1, 1, 1, 1, "float32", "relu", "bernoulli:0.5"),
        (37, 5, 2, 3, "float16", "silu", "bernoulli:0.5"),
        (1024, 3, 3, 1, "bfloat16", "gelu", "bernoulli:0.1"),
        (1100, 4, 4, 2, "float16", "gelu", "bernoulli:0.5"),
        (2048, 7, 7, 1, "float32", "silu", "bernoulli:0.5"),
        (513, 3, 8, 1, "bfloat16", "silu", "bernoulli:0.9"),
        (300, 2, 16, 1, "float16", "silu", "bernoulli:0.5"),
        (300, 3, 5, 1, "float16", "silu", "ones"),
        (300, 3, 5, 1, "float16", "gelu", "zeros"),
        (1032, 35, 16, 9, "bfloat16", "gelu", "bernoulli:0.5"),
    )
]
# What is not finite, under every activation.
BAD = [
    (Case("flash-mglu-triton", 40, 3, 2, 2, "float16", activation, "bernoulli:0.5"), bad)
    for activation, bad in (("silu", "nan"), ("gelu", "inf"), ("relu", "nan"), ("relu", "-inf"))
]
TRIED = [*((case, "") for case in CASES), *BAD]


@pytest.fixture(scope="module")
def interpreted(request: pytest.FixtureRequest) -> dict[str, tuple[float, float]]:
    """Errors of the cases that were asked for, from one process with the interpreter."""
    versions = [tuple(int(part) for part in module.__version__.split(".")[:2]) for module in (triton, numpy)]
    if versions[0] < (3, 7) and versions[1] >= (2, 4):
        pytest.skip("the interpreter of triton before 3.7 does not work with NumPy 2.4 and newer")
    cases = json.dumps([(case.to_dict(), bad) for case, bad in asked_for(request, "test_interpreted")])
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), cases], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    errors: dict[str, tuple[float, float]] = json.loads(done.stdout.splitlines()[-1])
    return errors


@pytest.mark.parametrize(("case", "bad"), TRIED, ids=case_ids(TRIED))
def test_interpreted_kernel_agrees_with_float64(
    interpreted: dict[str, tuple[float, float]], case: Case, bad: str
) -> None:
    relative, worst = interpreted[case.key + bad]
    # The interpreter cuts bfloat16 off where a GPU rounds it: twice the error.
    limit = 2.0 if case.dtype == "bfloat16" else 1.0
    assert relative <= TOLERANCES[case.dtype].relative
    assert worst <= limit


def source_of(nm: int, element: str, stages: int) -> Any:
    """The kernel with its types and constants."""
    from triton.compiler import ASTSource

    from mglubench.kernels.triton_source import flash_mglu

    constants = {"NM": nm, "MASKS": nm, "ACTIVATION": "gelu", "WHOLE": True, "ROWS": 2, "STAGES": stages}
    pointers = {"w": f"*{element}", "masks": "*i32", "x": f"*{element}", "y": f"*{element}"}
    signature = {**pointers, "h": "i32", "d": "i32", "w_row_stride": "i32", **dict.fromkeys(constants, "constexpr")}
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(7)}
    return ASTSource(fn=flash_mglu, signature=signature, constexprs=constants, attrs=aligned)


@pytest.mark.parametrize("capability", [80, 90, 100, 120])
@pytest.mark.parametrize(("nm", "element", "stages"), [(1, "bf16", 1), (8, "fp16", 1), (8, "fp16", 3)])
def test_kernel_compiles_without_a_gpu(capability: int, nm: int, element: str, stages: int) -> None:
    import triton
    from triton.backends.compiler import GPUTarget

    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source_of(nm, element, stages), target=target, options={"num_warps": 2})
    assert compiled.asm["cubin"]
    ptx = compiled.asm["ptx"]
    wide = "ld.global.v4.b32" if stages == 1 else "cp.async.cg.shared.global"
    assert wide in ptx, "weights are not loaded 16 bytes at a time"
    assert ".local" not in ptx


def test_kernel_compiles_for_an_amd_gpu_without_one() -> None:
    import triton
    from triton.backends import backends
    from triton.backends.compiler import GPUTarget

    if "amd" not in backends:
        pytest.skip("this triton has no AMD backend")
    compiled = triton.compile(source_of(4, "fp16", 1), target=GPUTarget("hip", "gfx942", 64), options={"num_warps": 2})
    assert compiled.asm["hsaco"]
    assert "gfx942" in compiled.asm["amdgcn"]
    assert re.search(r"\.vgpr_spill_count:\s+0\b", compiled.asm["amdgcn"])


def test_torch_for_amd_runs_triton_and_says_why_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert get_variant("flash-mglu-triton").why_unavailable("cuda") is None
    for name in ("flash-mglu-mma", "mglu-numba-packed", "mglu-op"):
        assert get_variant(name).why_unavailable("cuda") == "needs an NVIDIA GPU, this torch is built for ROCm"


def test_every_configuration_gives_a_warp_whole_rows() -> None:
    from mglubench.kernels.triton_source import configurations

    tried = configurations()
    assert len({(c.kwargs["ROWS"], c.kwargs["STAGES"], c.num_warps) for c in tried}) == len(tried)
    assert all(c.kwargs["ROWS"] % c.num_warps == 0 for c in tried)
    assert {c.kwargs["STAGES"] for c in tried} == {1, 3}


def test_variant_says_why_it_cannot_run_here() -> None:
    import torch

    variant = get_variant("flash-mglu-triton")
    assert variant.why_unavailable("cpu") == "runs on cuda only"
    if not torch.cuda.is_available():
        assert variant.why_unavailable("cuda") == "no CUDA GPU can be used here"


def test_declared_bytes_hold_the_padding() -> None:
    ledger = get_variant("flash-mglu-triton").declare(Case("flash-mglu-triton", 1000, 10, 3, 2, "float16"))
    assert ledger.weights == 2 * 10 * 1008 * 2
    assert ledger.masks == 2 * 10 * 1024 * 3 // 8


@pytest.mark.gpu
@pytest.mark.parametrize("shape", ON_A_CARD, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_variant_agrees_with_float64_on_the_gpu(dtype: str, shape: tuple[int, int, int, int]) -> None:
    agrees_on_a_card("flash-mglu-triton", dtype, *shape)
