"""Every variant that runs on this CPU against float64, at awkward shapes, and what it does with NaN and infinity.

The numba variant has the same tests and more in ``test_numba_cpu.py``; compiled variants are slow to prepare, so they
appear once.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.executors.local import LocalSession
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.layer.tolerance import TOLERANCES
from mglubench.measure.check import compare
from mglubench.runner.verify import NON_FINITE, verify
from mglubench.variants.registry import get_variant
from tests.conftest import make_case, slow_layer

READS = ("stream-read", "stream-read-streams", "stream-read-ahead")
NAIVE = ("mglu-naive", "mglu-naive-float", "mglu-naive-complement")
EAGER = ("lu", "swiglu", "swiglu-merged", *NAIVE, "mglu-premasked", *READS, "matrix-product")
SHAPES = ((1, 1), (7, 5), (1000, 1), (7, 3001), (1000, 3001))


def prepare(name, **changes):
    """A problem, its launch, and its inputs as float64 arrays."""
    masked = get_variant(name).layer == "mglu"
    case = make_case(**{"variant": name, **({} if masked else {"nm": 0}), **changes})
    problem = Problem.make(case, InputSet(case))
    return problem, get_variant(name).prepare(problem)


def expected(problem, x=None, weight=None):
    """The output by the bare formula, for x and W as they are in the problem unless given."""
    case, inputs = problem.case, problem.inputs
    x = problem.x if x is None else x
    weight = inputs.weight if weight is None else weight
    masks = inputs.masks(case.nm) if case.nm else np.zeros((0, case.d, case.h), bool)
    value = inputs.weight_value.double().numpy()
    layer = get_variant(case.variant).layer
    return slow_layer(layer, x.double().numpy(), weight.double().numpy(), value, masks, case.activation)


def assert_right(problem, reference):
    y = problem.y.double().numpy()
    check = compare(y, reference, problem.inputs.scale(problem.case.nm, 0))
    assert check.why_wrong(TOLERANCES[problem.case.dtype]) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("h", "d"), SHAPES)
@pytest.mark.parametrize("name", EAGER)
def test_output_agrees_with_float64(name, h, d, dtype):
    problem, launch = prepare(name, h=h, d=d, dtype=dtype, batch=2)
    problem.load(1)
    launch()
    assert_right(problem, expected(problem))


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
@pytest.mark.parametrize("name", EAGER)
def test_activations_agree_with_float64(name, activation):
    problem, launch = prepare(name, h=96, d=33, activation=activation, batch=8)
    launch()
    assert_right(problem, expected(problem))


@pytest.mark.parametrize("mask", ["ones", "zeros", "bernoulli:0.1"])
@pytest.mark.parametrize("name", [*NAIVE, "mglu-premasked"])
def test_masks_without_a_half_leave_nothing(name, mask):
    problem, launch = prepare(name, h=40, d=9, mask=mask)
    launch()
    assert_right(problem, expected(problem))
    assert mask == "bernoulli:0.1" or not problem.y.any()


@pytest.mark.parametrize("name", EAGER)
def test_a_launch_reads_x_and_writes_y_in_place(name):
    problem, launch = prepare(name)
    launch()
    first, addresses = problem.y.clone(), (problem.x.data_ptr(), problem.y.data_ptr())
    problem.load(1)
    launch()
    second = problem.y.clone()
    assert (problem.x.data_ptr(), problem.y.data_ptr()) == addresses
    assert_right(problem, expected(problem))
    problem.load(0)
    launch()
    assert torch.equal(problem.y, first)
    assert name in READS or not torch.equal(first, second)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", EAGER)
def test_a_bad_weight_spoils_its_row_alone(name, bad):
    masked = get_variant(name).layer == "mglu"
    case = make_case(variant=name, h=40, d=12, batch=3, **({} if masked else {"nm": 0}))
    inputs = InputSet(case)
    inputs.weight[5, 17] = bad
    problem = Problem.make(case, inputs)
    get_variant(name).prepare(problem)()
    reference = expected(problem)
    rows = np.arange(12) != 5
    assert np.isfinite(reference[:, rows]).all()
    assert_right(problem, reference)
    assert masked <= bool(torch.isnan(problem.y[:, 5]).all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", [name for name in EAGER if name not in READS])
def test_a_bad_token_spoils_itself_alone(name, bad):
    problem, launch = prepare(name, h=40, d=12, batch=3)
    problem.x[1, 20] = bad
    launch()
    reference = expected(problem)
    assert np.isfinite(reference[[0, 2]]).all()
    assert_right(problem, reference)


@pytest.mark.parametrize("name", ["swiglu-compiled", "mglu-compiled"])
def test_compiled_layers_agree_with_float64_and_follow_x(name):
    if reason := get_variant(name).why_unavailable("cpu"):
        pytest.skip(reason)
    problem, launch = prepare(name, h=41, d=13, batch=2)
    for fresh in (0, 1):
        problem.load(fresh)
        launch()
        assert_right(problem, expected(problem))


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
@pytest.mark.parametrize("name", ["swiglu-compiled", "mglu-compiled"])
def test_compiled_layers_take_what_is_not_finite_where_the_definition_does(name, activation):
    if reason := get_variant(name).why_unavailable("cpu"):
        pytest.skip(reason)
    h, d = NON_FINITE
    nm = 1 if name.startswith("mglu") else 0
    case = make_case(variant=name, h=h, d=d, batch=5, nm=nm, activation=activation, dtype="float32")
    (verdict,) = verify(LocalSession(), [case])
    assert (verdict.status, verdict.reason) == ("ok", "")


@pytest.mark.parametrize(
    ("name", "matrices", "scratch"),
    [
        ("lu", 1, 0),
        ("swiglu", 2, 0),
        ("mglu-premasked", 6, 0),
        ("mglu-naive", 6, 12),
        ("mglu-naive-float", 6, 12),
        ("mglu-naive-complement", 4, 6),
    ],
)
def test_declared_bytes_count_what_the_layer_materialises(name, matrices, scratch):
    case = make_case(variant=name, nm=3)
    matrix = case.elements * case.itemsize
    ledger = get_variant(name).declare(case)
    assert (ledger.weights, ledger.scratch) == (matrices * matrix, scratch * matrix)
    assert get_variant(name).resident_bytes(case) >= matrix


# Bytes per weight and mask, and per weight once: the table in which the paper's naive times are looked for.
@pytest.mark.parametrize(
    ("name", "device", "dtype", "per_mask", "once"),
    [
        ("mglu-naive", "cuda", "float16", 16, 0),
        ("mglu-naive-float", "cuda", "float16", 20, 0),
        ("mglu-naive-complement", "cuda", "float16", 7, 2),
        ("mglu-naive-complement", "cpu", "float32", 16, 4),
    ],
)
def test_naive_layers_declare_every_pass_over_a_matrix(name, device, dtype, per_mask, once):
    for nm in (1, 4):
        case = make_case(variant=name, nm=nm, device=device, dtype=dtype)
        ledger = get_variant(name).declare(case)
        assert ledger.total - ledger.x - ledger.y == (nm * per_mask + once) * case.elements


@pytest.mark.parametrize("name", NAIVE)
def test_naive_layers_keep_what_they_hold_at_once(name):
    """W and the masks that they keep are in what the memory check is told, with the copies of one product."""
    case = make_case(variant=name, nm=3, dtype="float32")
    mask = 1 if name == "mglu-naive" else 4
    copies = {"mglu-naive": 2 * 4 + 1, "mglu-naive-float": 3 * 4, "mglu-naive-complement": 4}[name]
    assert get_variant(name).resident_bytes(case) == case.elements * (4 + 3 * mask + copies)


def test_a_compiler_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "nocxx")
    assert "nocxx is not on PATH" in get_variant("swiglu-compiled").why_unavailable("cpu")


def test_replicas_of_a_case_are_compiled_once():
    from torch._dynamo.utils import counters

    case = make_case(variant="swiglu-compiled", nm=0, h=24, d=16)
    problem = Problem.make(case, InputSet(case))
    replica = problem.replica()
    replica.load(0)
    variant = get_variant(case.variant)
    variant.prepare(problem)()
    compiled = counters["stats"]["unique_graphs"]
    variant.prepare(replica)()
    assert counters["stats"]["unique_graphs"] == compiled > 0
    assert torch.equal(problem.y, replica.y)
