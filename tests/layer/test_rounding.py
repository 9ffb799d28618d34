"""The elementwise bound: tight for what is right, and what is wrong in the fourth digit does not pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mglubench.layer.input_set import InputSet, activate
from mglubench.layer.problem import Problem
from mglubench.layer.rounding import METHODS, bound, half_unit, methods, slope_of
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
    check = judge(case, problem.y.double().numpy(), variant.method_of(case), inputs, variant.layer)
    assert check.why_wrong(TOLERANCES[dtype]) is None
    assert 0.15 < check.of_bound <= 1.0  # of a few hundred errors, normal ones among them
    wide = judge(case, problem.y.double().numpy(), "any", inputs, variant.layer)
    assert wide.of_bound <= check.of_bound
    assert wide.why_wrong(TOLERANCES[dtype]) is None


def summed(products, running):
    """fp32 sums of the rows: so many running sums, which are added pair by pair."""
    d, h = products.shape
    steps = -(-h // running)
    padded = np.zeros((d, steps * running), products.dtype)
    padded[:, :h] = products
    sums = np.zeros((d, running), np.float32)
    for k in range(steps):
        sums = (sums + padded[:, k * running : (k + 1) * running]).astype(np.float32)
    while sums.shape[1] > 1:
        sums = sums[:, : sums.shape[1] // 2] + sums[:, sums.shape[1] // 2 :]
    return sums[:, 0]


def fp32_kernel(case, inputs, halves, running, fused):
    """A right kernel in fp32; fused: products are not rounded before they are added."""
    w, x = inputs.weight.numpy(), inputs.x(0).numpy()[0]
    products = w.astype(np.float64) * x if fused else w * x
    total, y = summed(products, running), np.zeros(case.d, np.float32)
    for mask in inputs.masks(case.nm):
        if halves == "flips":
            flipped = summed(np.where(mask, products, -products), running)
            gate, value = (total + flipped) / np.float32(2), (total - flipped) / np.float32(2)
        else:
            gate = summed(np.where(mask, products, 0), running)
            value = summed(np.where(mask, 0, products), running) if halves == "own" else total - gate
        y = y + activate(gate.astype(np.float64), case.activation).astype(np.float32) * value
    return y[None].astype(np.float64)


FP32_KERNELS = [
    ("fused-serial", "own", 1),
    ("fused", "own", 16),
    ("fused/32", "own", 32),
    ("fused-serial-difference", "difference", 1),
    ("fused-difference", "difference", 16),
    ("fused-difference/256", "difference", 256),
    ("fused-flips", "flips", 1),
]


@pytest.mark.parametrize(("method", "halves", "running"), FP32_KERNELS)
def test_fp32_bounds_are_tight_whatever_the_way_of_the_sums(method, halves, running):
    """Of thousands of elements, over row lengths and activations, with and without fused products."""
    shares = []
    for number, (h, nm, activation) in enumerate(
        [(64, 1, "silu"), (100, 2, "gelu"), (512, 1, "relu"), (1024, 2, "silu")]
    ):
        case = make_case(
            h=h, d=1 << 18 - max(8, h.bit_length()), nm=nm, activation=activation, dtype="float32", seed=number
        )
        inputs = InputSet(case)
        for fused in (False, True):
            y = fp32_kernel(case, inputs, halves, running, fused)
            terms = inputs.terms("mglu", nm, 0)
            explained = bound(terms, method, "float32", activation, "cuda")
            found = compare(y, inputs.reference("mglu", nm, 0), inputs.scale(nm, 0), None, explained)
            assert found.why_wrong(TOLERANCES["float32"]) is None
            shares.append(found.of_bound)
    # One running sum leaves errors with longer tails than a normal deviate's: of more elements, the largest is larger.
    assert max(shares) > (0.3 if running == 1 else 0.45)


@pytest.mark.parametrize(
    "name", ["lu", "swiglu", "matrix-product", "mglu-naive-float", "swiglu-numba-cpu", "stream-read"]
)
def test_fp32_bounds_of_variants_are_tight_over_shapes(name):
    variant, shares = get_variant(name), []
    for number, (h, batch) in enumerate([(64, 1), (100, 16), (512, 4), (777, 1), (2048, 16), (4096, 2)]):
        activation = ("silu", "gelu", "relu")[number % 3]
        nm = 1 if variant.layer == "mglu" else 0
        case = make_case(
            variant=name, h=h, d=512, batch=batch, activation=activation, dtype="float32", nm=nm, seed=number
        )
        inputs = InputSet(case)
        problem = Problem.make(case, inputs)
        variant.prepare(problem)()
        shares.append(judge(case, problem.y.double().numpy(), variant.method_of(case), inputs, variant.layer).of_bound)
    assert 0.35 < max(shares) <= 1.0


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

    assert all(len(methods(variant.method)) == 1 for variant in variants().values())
    assert len(methods("fused/64")) == len(methods("steps")) == 1
    assert methods("fused/64")[0].running == 64
    assert len(methods("any")) == len(methods("else/64")) == len(METHODS)


def test_a_method_of_a_case_is_that_of_the_kernel_that_runs():
    row = {"mglu-numba-cpu": 16, "mglu-op": 16, "swiglu-numba-cpu": 32, "stream-read": 64}
    for name, running in row.items():
        case = make_case(variant=name, nm=8 if "mglu" in name else 0, device="cpu")
        assert get_variant(name).method_of(case).partition("/")[2] == str(running)
    assert get_variant("lu").method_of(make_case(variant="lu", nm=0)) == "steps"
