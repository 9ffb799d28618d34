"""The elementwise bound: tight for what is right, and what is wrong in the fourth digit does not pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mglubench.layer.problem import InputSet, Problem, activate
from mglubench.layer.rounding import METHODS, bound, half_unit, slope_of
from mglubench.layer.tolerance import TOLERANCES
from mglubench.measure.check import compare
from mglubench.variants.registry import get_variant
from tests.conftest import make_case

DTYPES = ("float32", "float16", "bfloat16")


def judge(case, y, method, inputs, layer="mglu"):
    """The check of an output, float64 [batch, d], for the first x."""
    explained = bound(inputs.terms(layer, case.nm, 0), method, case.dtype, case.activation)
    return compare(y, inputs.reference(layer, case.nm, 0), inputs.scale(case.nm, 0), None, explained)


def in_dtype(values, dtype):
    """Rounded to the nearest."""
    return torch.from_numpy(np.asarray(values)).to(getattr(torch, dtype)).double().numpy()


def toward_zero(values, dtype):
    near = in_dtype(values, dtype)
    down = torch.from_numpy(near).to(getattr(torch, dtype))
    one_less = torch.nextafter(down, torch.zeros_like(down)).double().numpy()
    return np.where(np.abs(near) > np.abs(values), one_less, near)


@pytest.mark.parametrize("dtype", DTYPES)
def test_half_a_unit_is_the_largest_error_of_rounding_to_the_nearest(dtype):
    values = np.random.default_rng(0).normal(0, 1, 20000) * np.exp2(np.random.default_rng(1).integers(-30, 9, 20000))
    share = np.abs(in_dtype(values, dtype) - values) / half_unit(values, dtype)
    assert 0.99 < share.max() <= 1.00001  # by way of float32
    assert np.abs(toward_zero(values, dtype) - values).max() > 0
    assert 1.9 < (np.abs(toward_zero(values, dtype) - values) / half_unit(values, dtype)).max() <= 2.00001


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
def test_slopes_are_those_of_the_activations(activation):
    at = np.linspace(-6.05, 6, 200)
    found = (activate(at + 1e-6, activation) - activate(at - 1e-6, activation)) / 2e-6
    np.testing.assert_allclose(slope_of(at, activation), found, atol=1e-7)


def test_the_corner_of_relu_is_steep_as_far_as_an_error_reaches():
    assert slope_of(np.array([-0.2, -0.05, 0.0, 0.1]), "relu", 0.1).tolist() == [0, 1, 1, 1]


MANY = {
    "lu": {},
    "swiglu": {},
    "swiglu-merged": {},
    "stream-read": {},
    "matrix-product": {},
    "swiglu-numba-cpu": {},
    "mglu-naive": {"nm": 2},
    "mglu-naive-float": {"nm": 3},
    "mglu-naive-complement": {"nm": 2},
    "mglu-premasked": {"nm": 16},
    "mglu-numba-cpu": {"nm": 8},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("h", "d", "batch", "activation"), [(512, 1000, 1, "silu"), (64, 200, 16, "gelu"), (1001, 150, 3, "relu")]
)
@pytest.mark.parametrize("name", MANY)
def test_right_variants_pass_and_come_near_their_bound(name, h, d, batch, activation, dtype):
    variant = get_variant(name)
    changes = {"nm": 0, **MANY[name]}
    case = make_case(variant=name, h=h, d=d, batch=batch, activation=activation, dtype=dtype, **changes)
    inputs = InputSet(case)
    problem = Problem.make(case, inputs)
    variant.prepare(problem)()
    check = judge(case, problem.y.double().numpy(), variant.method, inputs, variant.layer)
    assert check.why_wrong(TOLERANCES[dtype]) is None
    assert 0.15 < check.of_bound <= 1.0  # of a few hundred errors, normal ones among them
    wide = judge(case, problem.y.double().numpy(), "any", inputs, variant.layer)
    assert wide.of_bound <= check.of_bound
    assert wide.why_wrong(TOLERANCES[dtype]) is None


def layer_of(inputs, nm, act, round_step, round_end):
    """A kernel of one's own in float64, its results rounded as told."""
    x, weight = inputs.x(0).double().numpy(), inputs.weight.double().numpy()
    y = 0.0
    for mask in inputs.masks(nm):
        gate, value = round_step(x @ (weight * mask).T), round_step(x @ (weight * ~mask).T)
        y = y + act(gate) * value
    return round_end(y)


def gelu_with(constant):
    return lambda v: 0.5 * v * (1 + torch.erf(torch.from_numpy(v * constant)).numpy())


def nothing(values):
    return values


@pytest.mark.parametrize(("dtype", "constant"), [("float32", 0.7072), ("float16", 0.7072), ("bfloat16", 0.7079)])
def test_a_gelu_whose_constant_is_wrong_in_the_fourth_digit_fails(dtype, constant):
    case = make_case(h=256, d=4096, nm=1, activation="gelu", dtype=dtype)
    inputs = InputSet(case)
    right, wrong = (
        layer_of(inputs, 1, gelu_with(c), nothing, lambda y: in_dtype(y, dtype)) for c in (math.sqrt(0.5), constant)
    )
    assert judge(case, right, "fused-difference", inputs).why_wrong(TOLERANCES[dtype]) is None
    found = judge(case, wrong, "fused-difference", inputs)
    assert found.relative <= TOLERANCES[dtype].relative or dtype == "float32"
    assert found.of_bound > 1
    assert found.why_wrong(TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_layer_of_stored_steps_is_judged_by_what_its_errors_have_in_common(dtype):
    """Each element alone may pass; all of them lean to one side."""
    case = make_case(h=256, d=4096, nm=1, activation="gelu", dtype=dtype, batch=4)
    inputs = InputSet(case)
    step = lambda values: in_dtype(values, dtype)  # noqa: E731
    act = lambda gate: step(activate(gate, "gelu"))  # noqa: E731
    right = layer_of(inputs, 1, act, step, step)
    truncated = layer_of(inputs, 1, act, step, lambda y: toward_zero(y, dtype))
    constant = 0.7072 if dtype == "float16" else 0.709
    distorted = layer_of(inputs, 1, lambda gate: step(gelu_with(constant)(gate)), step, step)
    assert judge(case, right, "steps", inputs).why_wrong(TOLERANCES[dtype]) is None
    for wrong in (truncated, distorted):
        found = judge(case, wrong, "steps", inputs)
        assert found.relative <= TOLERANCES[dtype].relative
        assert found.bias > 1
        assert found.why_wrong(TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("method", ["fused-difference", "any"])
def test_rounding_toward_zero_fails(dtype, method):
    case = make_case(h=256, d=2048, nm=2, dtype=dtype)
    inputs = InputSet(case)
    act = lambda gate: activate(gate, "silu")  # noqa: E731
    right = layer_of(inputs, 2, act, nothing, lambda y: in_dtype(y, dtype))
    wrong = layer_of(inputs, 2, act, nothing, lambda y: toward_zero(y, dtype))
    assert judge(case, right, method, inputs).why_wrong(TOLERANCES[dtype]) is None
    found = judge(case, wrong, method, inputs)
    assert found.relative <= TOLERANCES[dtype].relative
    assert found.why_wrong(TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["any", "fused-difference", "steps"])
def test_a_small_branch_that_is_lost_beside_an_outlier_fails(dtype, method):
    """One row's output is a million times the others': no norm sees them."""
    case = make_case(h=256, d=512, nm=2, dtype=dtype)
    inputs = InputSet(case)
    inputs.weight[17] *= 100
    y = in_dtype(inputs.reference("mglu", 2, 0), dtype).copy()
    assert judge(case, y, method, inputs).of_bound <= 1
    first = InputSet(case)
    first.weight[17] *= 100
    alone = in_dtype(first.reference("mglu", 1, 0), dtype)
    y[0, 40] = alone[0, 40]
    found = judge(case, y, method, inputs)
    assert found.relative <= TOLERANCES[dtype].relative or dtype == "float32"
    assert found.of_bound > 1
    assert "times what rounding explains" in found.why_wrong(TOLERANCES["bfloat16"])


def test_sums_of_squares_are_those_of_the_products():
    case = make_case(h=37, d=50, nm=2, batch=3)
    inputs = InputSet(case)
    terms = inputs.terms("mglu", 2, 1)
    products = inputs.weight.double().numpy()[:, None, :] * inputs.x(1).double().numpy()[None]
    np.testing.assert_allclose(terms.total.squares, (products**2).sum(axis=2), rtol=1e-9)
    for i, (gate, value) in enumerate(terms.pairs):
        kept = products * inputs.mask(i)[:, None, :]
        np.testing.assert_allclose(gate.squares, (kept**2).sum(axis=2), rtol=1e-9)
        np.testing.assert_allclose(value.squares, ((products - kept) ** 2).sum(axis=2), rtol=1e-6, atol=1e-12)
    assert inputs.terms("mglu", 2, 1, most=2).total.values.shape == (50, 2)


def test_many_tokens_have_the_same_sums_of_squares():
    few, many = InputSet(make_case(h=37, d=50, batch=3)), InputSet(make_case(h=37, d=50, batch=200))
    assert many.dense.total.squares.shape == (50, 400)
    squares = many.weight.double().square() @ many.x(1).double().T.square()
    np.testing.assert_allclose(many.dense.total.squares[:, 200:], squares.numpy(), rtol=1e-4)
    assert few.dense.total.squares.dtype == np.float64


def test_every_variant_names_a_method_that_there_is():
    from mglubench.variants.registry import variants

    ours = {name: variant.method for name, variant in variants().items()}
    assert set(ours.values()) <= set(METHODS)
