"""Machine code of the CPU kernels, looked at: figures of the loops that run, narrow vectors, other processors."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from mglubench.errors import UsageError
from mglubench.kernels.cpu_assembly import Instruction, assembly, instructions_of, main_loop
from mglubench.kernels.cpu_call import LAYOUT, as_bits, glu_call, mglu_call
from mglubench.kernels.cpu_choice import GLU, MGLU
from mglubench.kernels.cpu_inspect import cpu_subjects, cpu_targets, examine_on_cpu, shape_of, target_names
from mglubench.kernels.cpu_layers import mglu_layer
from mglubench.kernels.cpu_rows import RowShape
from mglubench.kernels.cpu_target import AVX2, NEON, CpuTarget, here
from mglubench.kernels.inspect import Subject
from mglubench.layer.masks import pack
from tests.conftest import ROOT, slow_layer

KNOWN = {"mglu-numba-cpu": MGLU, "swiglu-numba-cpu": GLU}
LOOP = """rows:
\tvxorps\t%xmm0, %xmm0, %xmm0
.LBB0_1:
\tincq\t%rax
.LBB0_2:                                # inner
\tvmovups\t(%rdi,%rcx), %zmm1
\tvptestmd\t64(%rsp), %zmm2, %k1
\tvmulps\t(%rsi,%rcx), %zmm1, %zmm3
\tvaddps\t%zmm3, %zmm0, %zmm0
\tvaddps\t%zmm3, %zmm4, %zmm4 {%k1}
\tvmovups\t%zmm4, 128(%rsp)
\tprefetchnta\t512(%rdi,%rcx)
\taddq\t$64, %rcx
\tjne\t.LBB0_2
\tvaddps\t%ymm3, %ymm0, %ymm0
\tdecq\t%rax
\tjne\t.LBB0_1
\tretq
"""


def test_a_loop_is_read_without_what_lies_around_it() -> None:
    loop = main_loop(LOOP, RowShape(1, 1, "float32"))
    assert loop is not None
    assert (len(loop.instructions), loop.weights, loop.vector_bits) == (9, 16, 512)
    assert (loop.stack_stores, loop.stack_loads, loop.masked, loop.loaded) == (1, 1, 1, 128)
    assert len(instructions_of(LOOP)[0]) == 15
    assert main_loop("\tretq\n", RowShape(1, 1, "float32")) is None


@pytest.mark.parametrize(
    ("opcode", "operands", "loaded"),
    [
        ("vpmovzxwd", "(%rdi,%rax,2), %zmm1", 32),
        ("vcvtph2ps", "32(%rdi), %ymm1", 16),
        ("vpmovsxbd", "(%rdi), %zmm1", 16),
        ("vmulps", "(%rdi){1to16}, %zmm1, %zmm2", 4),
        ("vmovups", "%zmm1, (%rdi)", 0),
        ("leaq", "8(%rdi), %rax", 0),
        ("ldp", "q1, q2, [x3, #32]", 32),
        ("ldr", "d1, [x3]", 8),
        ("str", "q1, [x3]", 0),
        ("fadd", "v1.4s, v2.4s, v3.4s", 0),
    ],
)
def test_bytes_that_an_instruction_loads(opcode: str, operands: str, loaded: int) -> None:
    assert Instruction(opcode, operands).loaded == loaded


@pytest.mark.parametrize("nm", [1, 8])
def test_the_loop_that_is_looked_at_is_the_loop_that_runs(nm: int) -> None:
    """Numba compiles it within a layer, for this machine: as many instructions per weight, as wide."""
    shape = shape_of(MGLU, Subject("mglu-numba-cpu", here().name, nm, "float32"), here())
    weight, y = torch.zeros(4, 512), torch.empty(1, 4)
    masks = np.zeros(4 * 32 * nm, np.uint16)
    layer = mglu_layer(shape, "relu")
    layer(as_bits(weight), masks, as_bits(weight[:1]), as_bits(y), 1)
    found = main_loop(assembly(shape, here()), shape)
    running = [main_loop(text, shape) for text in layer.inspect_asm().values()]  # type: ignore[attr-defined]
    assert found is not None
    assert running[0] is not None
    per_weight = [len(loop.instructions) / loop.weights for loop in (found, running[0])]
    assert per_weight[1] == pytest.approx(per_weight[0], rel=0.1)
    assert running[0].vector_bits == found.vector_bits == 32 * here().lanes
    assert running[0].stack_stores == found.stack_stores == 0


@pytest.mark.parametrize("target", [AVX2, NEON], ids=lambda target: target.name)
def test_other_processors_get_whole_vectors_and_no_spills(target: CpuTarget) -> None:
    wanted = cpu_subjects(KNOWN, [], [target.name], [1, 4, 8], ["float32", "float16", "int8"])
    rows = [row for item in wanted for row in examine_on_cpu(KNOWN[item.variant], item)]
    reasons = {row.get("reason") for row in rows if row["status"] != "ok"}
    if reasons:
        pytest.skip(str(reasons))
    assert len(rows) == 12
    for row in rows:
        assert row["vector_bits"] == 32 * target.lanes
        assert row["stack_stores"] == 0
        masked = row["nm"] / target.lanes if row["nm"] else 0
        assert row["masked_per_element"] == pytest.approx(masked)
        assert row["loaded_per_element"] >= {"float32": 4, "float16": 2, "int8": 1}[str(row["dtype"])]


def test_what_cannot_be_compiled_is_a_row_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = CpuTarget("neon", "nowhere-unknown-linux", "none", frozenset())
    monkeypatch.setattr("mglubench.kernels.cpu_inspect.ELSEWHERE", {"neon": nowhere})
    (row,) = examine_on_cpu(MGLU, Subject("mglu-numba-cpu", "neon", 1, "float32"))
    assert row["status"] == "error"
    assert "nowhere-unknown-linux" in str(row["reason"])


def test_names_of_targets_and_variants() -> None:
    assert target_names(["here", "neon", here().name]) == [here().name, "neon"]
    assert next(iter(cpu_targets())) == here().name
    with pytest.raises(UsageError, match=r"unknown CPU target 'nean'.*neon"):
        target_names(["nean"])
    with pytest.raises(UsageError, match="has no CPU kernel"):
        cpu_subjects(KNOWN, ["mglu-numba"], ["neon"], [1], ["float32"])


@pytest.mark.parametrize("vector", [8, 4])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_narrow_vectors_are_right(vector: int, dtype: str) -> None:
    """Parts of blocks, of whole chunks and behind them; the same loop for a processor with such registers."""
    random = np.random.default_rng(vector)
    d, h, nm, tokens = 7, 1104, 3, 2
    kind = getattr(torch, dtype)
    weights = [torch.from_numpy(random.standard_normal((d, h), np.float32)).to(kind) for _ in range(2)]
    x = torch.from_numpy(random.standard_normal((tokens, h), np.float32)).to(kind)
    masks, found = random.random((nm, d, h)) < 0.5, torch.empty(tokens, d, dtype=kind)
    wide = [weight.double().numpy() for weight in weights]
    packed = torch.from_numpy(pack(masks, LAYOUT).data)
    mglu_call(weights[0], packed, nm, "silu", RowShape(nm, 2, dtype, rows=2, vector=vector))(x, found)
    assert _error(found, slow_layer("mglu", x.double().numpy(), *wide, masks, "silu")) < 2e-2
    glu_call(*weights, "silu", RowShape(0, 2, dtype, unroll=1, gated=True, vector=vector))(x, found)
    assert _error(found, slow_layer("glu", x.double().numpy(), *wide, masks, "silu")) < 2e-2


def _error(found: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found.double().numpy() - expected) / np.linalg.norm(expected))


RUN_AVX2 = """
    import numpy as np, torch
    from mglubench.kernels.cpu_call import mglu_call, glu_call
    from mglubench.kernels.cpu_choice import MGLU, adds_pairs
    from mglubench.kernels.cpu_layers import mglu_layer
    from mglubench.kernels.cpu_target import here
    from mglubench.layer.formats.weight_formats import FORMATS
    from mglubench.layer.masks import pack
    from tests.conftest import slow_layer

    assert (here().lanes, here().registers, adds_pairs()) == (8, 16, False)
    random = np.random.default_rng(0)
    d, h = 7, 1104
    weight, value, x = (torch.from_numpy(random.standard_normal(size, np.float32)) for size in ((d, h), (d, h), (1, h)))
    masks = random.random((8, d, h)) < 0.5
    for name, nm, limit in (("float32", 8, 1e-6), ("bfloat16", 1, 2e-2), ("float16", 1, 2e-3), ("int4", 1, 1e-6)):
        if form := FORMATS.get(name):
            stored, tokens = form.quantise(weight), x
            rows, wide, weights = form.cpu_rows(stored), stored.dequantised(), name
        else:
            rows, tokens, weights = weight.to(getattr(torch, name)), x.to(getattr(torch, name)), "same"
            wide = rows
        y = torch.empty(1, d, dtype=tokens.dtype)
        packed = torch.from_numpy(pack(masks[:nm], "row-lanes32").data)
        mglu_call(rows, packed, nm, "silu", weights=weights)(tokens, y)
        exact = slow_layer("mglu", tokens.double().numpy(), wide.double().numpy(), None, masks[:nm], "silu")
        error = np.linalg.norm(y.double().numpy() - exact) / np.linalg.norm(exact)
        assert error < limit, (name, error)
    shape = MGLU.shape(MGLU.job(h, d, 8, 1, "float32"))
    (text,) = mglu_layer(shape, "silu").inspect_asm().values()
    assert shape.vector == 8 and "%ymm" in text and "%zmm" not in text and "{%k" not in text
"""


@pytest.mark.skipif("avx2" not in here().features, reason="this processor does not run AVX2")
def test_code_for_avx2_is_right_where_it_runs() -> None:
    env = {**os.environ, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+f16c", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(RUN_AVX2)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
