"""``mglu-numba-cpu`` against float64: every nm, tails, batches, dtypes, masks, NaN and infinity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.kernels.cpu_rows import ACCUMULATORS, token_tile
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.layer.rounding import bound
from mglubench.layer.tolerance import TOLERANCES
from mglubench.measure.check import compare
from mglubench.variants.numba_cpu import SwiGLUNumbaCPU
from mglubench.variants.registry import get_variant
from tests.conftest import make_case, slow_layer

NAME = "mglu-numba-cpu"
SHAPES = ((1, 1), (7, 5), (1000, 1), (16, 3001), (1000, 33), (2048, 17))


def prepare(inputs=None, **changes):
    case = make_case(**{"variant": NAME, **changes})
    problem = Problem.make(case, inputs or InputSet(case))
    return problem, get_variant(NAME).prepare(problem)


def expected(problem):
    inputs, case = problem.inputs, problem.case
    x, weight = problem.x.double().numpy(), inputs.weight.double().numpy()
    return slow_layer("mglu", x, weight, weight, inputs.masks(case.nm), case.activation)


def assert_right(problem):
    y = problem.y.double().numpy()
    check = compare(y, expected(problem), problem.inputs.scale(problem.case.nm, 0))
    assert check.why_wrong(TOLERANCES[problem.case.dtype]) is None


@pytest.mark.parametrize("nm", range(1, 17))
def test_every_nm_agrees_with_float64_at_awkward_shapes(nm):
    for h, d in SHAPES:
        problem, launch = prepare(h=h, d=d, nm=nm)
        problem.load(1)
        launch()
        assert_right(problem)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("batch", range(1, 9))
def test_every_batch_and_dtype_agrees_with_float64(batch, dtype):
    problem, launch = prepare(h=1000, d=31, nm=3, batch=batch, dtype=dtype)
    problem.load(1)
    launch()
    assert_right(problem)


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
def test_activations_agree_with_float64(activation):
    problem, launch = prepare(h=100, d=40, nm=2, activation=activation, batch=2)
    launch()
    assert_right(problem)


@pytest.mark.parametrize("mask", ["ones", "zeros"])
@pytest.mark.parametrize(("nm", "dtype"), [(1, "float32"), (3, "float16"), (16, "float32")])
def test_masks_without_a_half_give_exactly_zero(mask, nm, dtype):
    problem, launch = prepare(h=1000, d=33, nm=nm, dtype=dtype, mask=mask, batch=3)
    launch()
    assert not problem.y.any()


def test_a_large_layer_spreads_over_the_threads_and_writes_every_row():
    problem, launch = prepare(h=33, d=3001, nm=1)
    problem.y.fill_(float("nan"))
    launch()
    assert torch.isfinite(problem.y).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 17), (11, 39)])
def test_a_bad_weight_gives_nan_in_its_row_alone(bad, row, column):
    case = make_case(variant=NAME, h=40, d=12, batch=3)
    inputs = InputSet(case)
    inputs.weight[row, column] = bad
    problem, launch = prepare(inputs, h=40, d=12, batch=3)
    launch()
    assert torch.isnan(problem.y[:, row]).all()
    assert int(torch.isnan(problem.y).sum()) == 3
    assert_right(problem)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("token", [0, 1, 2])
def test_a_bad_token_gives_nan_in_itself_alone(bad, token):
    problem, launch = prepare(h=40, d=12, batch=3)
    problem.x[token, 39] = bad
    launch()
    assert torch.isnan(problem.y[token]).all()
    assert int(torch.isnan(problem.y).sum()) == 12
    assert_right(problem)


def test_a_bad_token_is_forgotten_by_the_next_launch():
    problem, launch = prepare(h=40, d=12, batch=3)
    problem.x[0] = float("nan")
    launch()
    problem.load(0)
    launch()
    assert_right(problem)


def test_a_launch_reads_x_and_writes_y_in_place():
    problem, launch = prepare(h=33, d=7, dtype="bfloat16", batch=2)
    addresses = problem.x.data_ptr(), problem.y.data_ptr()
    for fresh in (1, 0, 1):
        problem.load(fresh)
        launch()
        assert_right(problem)
    assert (problem.x.data_ptr(), problem.y.data_ptr()) == addresses


def test_two_prepared_layers_do_not_share_buffers():
    one, launch_one = prepare(h=20, d=6, nm=2)
    two, launch_two = prepare(h=20, d=6, nm=2, seed=9)
    launch_one()
    launch_two()
    launch_one()
    assert_right(one)
    assert_right(two)


@pytest.mark.parametrize("nm", range(17))
def test_token_tiles_are_powers_of_two_whose_sums_stay_in_registers(nm):
    for batch in range(1, 20):
        tile = token_tile(nm, batch)
        assert tile in (1, 2, 4, 8)
        assert tile == 1 or tile * (nm + 1) <= ACCUMULATORS
        assert tile < 2 * batch


def test_declared_bytes_are_nm_bits_per_element_of_the_padded_matrix():
    case = make_case(variant=NAME, h=1000, d=33, nm=5, dtype="float16")
    ledger = get_variant(NAME).declare(case)
    assert ledger.masks * 8 == 5 * 1008 * 33
    assert ledger.weights == 2 * 1008 * 33
    exact = get_variant(NAME).declare(make_case(variant=NAME, h=2048, d=8192, nm=8))
    assert exact.weights + exact.masks == 2048 * 8192 * 5
    assert np.isclose(exact.total, exact.weights + exact.masks + 4 * (2048 + 8192))


def test_a_tile_takes_as_many_tokens_as_fit():
    assert [token_tile(nm, 8) for nm in (0, 1, 2, 3, 6, 7, 13, 14, 16)] == [8, 8, 8, 4, 4, 2, 2, 1, 1]
    assert [token_tile(1, batch) for batch in (1, 2, 3, 5, 9)] == [1, 2, 4, 8, 8]


def prepare_swiglu(bad=None, **changes):
    case = make_case(**{"variant": "swiglu-numba-cpu", "nm": 0, "mask": "none", **changes})
    inputs = InputSet(case)
    if bad is not None:
        inputs.weight[5, 17] = inputs.weight_value[7, 3] = inputs.x(0)[1, 39] = bad
    problem = Problem.make(case, inputs)
    get_variant("swiglu-numba-cpu").prepare(problem)()
    return problem


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_swiglu_agrees_with_float64(dtype):
    for (h, d), batch in zip(SHAPES, (1, 3, 9, 2, 5, 16), strict=True):
        problem = prepare_swiglu(h=h, d=d, batch=batch, dtype=dtype, activation="gelu")
        inputs = problem.inputs
        explained = bound(inputs.terms("glu", 0, 0), SwiGLUNumbaCPU.method, dtype, "gelu")
        y, expected = problem.y.double().numpy(), inputs.reference("glu", 0, 0)
        check = compare(y, expected, inputs.scale(0, 0), bound=explained)
        assert check.why_wrong(TOLERANCES[dtype]) is None, (h, d, batch)
        assert np.abs(y - expected).max() <= TOLERANCES[dtype].relative * np.abs(expected).max(), (h, d, batch)


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_passes_every_activation_as_in_float64(activation, bad):
    glu = prepare_swiglu(bad, h=40, d=12, batch=3, activation=activation)
    case = make_case(variant=NAME, h=40, d=12, nm=2, batch=3, activation=activation)
    inputs = InputSet(case)
    inputs.weight[5, 17] = inputs.x(0)[1, 39] = bad
    mglu, launch = prepare(inputs, h=40, d=12, nm=2, batch=3, activation=activation)
    launch()
    for layer, problem, nm in (("glu", glu, 0), ("mglu", mglu, 2)):
        with np.errstate(invalid="ignore"):
            expected, y = problem.inputs.reference(layer, nm, 0), problem.y.double().numpy()
        assert (np.isnan(y) == np.isnan(expected)).all()
        assert (np.isinf(y) == np.isinf(expected)).all()
