"""``mglu-op``, the operator as a variant: right for all that it takes, and it is the operator that runs."""

from __future__ import annotations

import pytest
import torch

from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.layer.tolerance import TOLERANCES
from mglubench.measure.check import compare
from mglubench.nn import functional
from mglubench.variants.registry import get_variant
from tests.conftest import make_case, slow_layer

NAME = "mglu-op"


def prepare(**changes):
    case = make_case(**{"variant": NAME, **changes})
    problem = Problem.make(case, InputSet(case))
    return problem, get_variant(NAME).prepare(problem)


def assert_right(problem):
    inputs, case = problem.inputs, problem.case
    x, weight = problem.x.double().numpy(), inputs.weight.double().numpy()
    expected = slow_layer("mglu", x, weight, weight, inputs.masks(case.nm), case.activation)
    check = compare(problem.y.double().numpy(), expected, inputs.scale(case.nm, 0))
    assert check.why_wrong(TOLERANCES[case.dtype]) is None


@pytest.mark.parametrize(
    ("dtype", "activation", "batch"),
    [
        ("float32", "silu", 1),
        ("float32", "gelu", 20),
        ("float32", "relu", 3),
        ("bfloat16", "silu", 8),
        ("bfloat16", "gelu", 1),
        ("bfloat16", "relu", 20),
        ("float16", "silu", 3),
        ("float16", "gelu", 8),
        ("float16", "relu", 1),
    ],
)
def test_agrees_with_float64(dtype, activation, batch):
    problem, launch = prepare(h=100, d=33, nm=3, dtype=dtype, activation=activation, batch=batch)
    for fresh in (1, 0):
        problem.load(fresh)
        launch()
        assert_right(problem)


@pytest.mark.parametrize("nm", [1, 8, 9, 16])
def test_more_and_fewer_masks_agree_with_float64(nm):
    problem, launch = prepare(h=37, d=10, nm=nm)
    launch()
    assert_right(problem)


def test_it_is_the_operator_that_is_timed(monkeypatch):
    problem, _ = prepare(h=64, d=10)
    seen = []
    shipped = functional.flash_mglu
    monkeypatch.setattr(
        functional, "flash_mglu", lambda *args, out: seen.append((*args, out)) or shipped(*args, out=out)
    )
    launch = get_variant(NAME).prepare(problem)
    launch()
    assert len(seen) == 2
    assert all(args[0] is problem.x for args in seen)
    assert all(args[-1] is problem.y for args in seen)
    assert seen[0][1].weight.data_ptr() == problem.weight.data_ptr(), "a weight that needs no padding is not copied"


def test_replicas_have_masks_of_their_own(monkeypatch):
    problem, _ = prepare(h=64, d=10)
    packed = []
    monkeypatch.setattr(functional, "flash_mglu", lambda x, weight, activation, out: packed.append(weight))
    get_variant(NAME).prepare(problem)
    get_variant(NAME).prepare(problem.replica())
    assert packed[0].masks.data_ptr() != packed[1].masks.data_ptr()
    assert torch.equal(packed[0].masks, packed[1].masks)


def test_what_it_takes_depends_on_the_device():
    variant = get_variant(NAME)
    assert variant.why_unsupported(make_case(variant=NAME, nm=9)) is None
    on_gpu = {"variant": NAME, "device": "cuda", "dtype": "float16"}
    assert variant.why_unsupported(make_case(**on_gpu, nm=9)) == "nm=9 is not among 1 to 8 and 16"
    assert variant.why_unsupported(make_case(**on_gpu, nm=16, batch=1000)) is None
    refused = variant.why_unsupported(make_case(variant=NAME, device="cuda"))
    assert refused == "dtype float32 is not among float16, bfloat16 on cuda"
    assert variant.why_unavailable("cpu") is None
    if not torch.cuda.is_available():
        assert variant.why_unavailable("cuda") == "no CUDA GPU can be used here"


def test_declared_bytes_are_the_kernel_s_and_on_cuda_a_second_y():
    case = make_case(variant=NAME, h=100, d=33, nm=3, batch=20, dtype="float16")
    ours, bare = get_variant(NAME).declare(case), get_variant("mglu-numba-cpu").declare(case)
    assert (ours.weights, ours.masks, ours.x, ours.y) == (bare.weights, bare.masks, bare.x, bare.y)
    assert ours.scratch == 0
    gpu = make_case(variant=NAME, h=100, d=33, nm=3, batch=20, dtype="float16", device="cuda")
    assert get_variant(NAME).declare(gpu).weights == 2 * 33 * 104 * 2
    assert get_variant(NAME).declare(gpu).scratch == 2 * get_variant(NAME).declare(gpu).y
    assert get_variant(NAME).declare(gpu).masks == 2 * 48 * 128 * 3 // 8
