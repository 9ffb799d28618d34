"""Inputs that are not finite: where they are, what the definition makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from mglubench.cases.vocabulary import ACTIVATIONS
from mglubench.layer.dense_inputs import DenseInputs
from mglubench.layer.input_set import InputSet
from mglubench.layer.non_finite import VALUES
from mglubench.runner.verify import NON_FINITE
from tests.conftest import make_case

H, D = NON_FINITE


def inputs_of(**changes):
    case = make_case(h=H, d=D, batch=5, **changes)
    return InputSet(case, DenseInputs(case, non_finite=True))


def touched(inputs, fresh):
    """Whether a row of W or a token of x holds what is not finite, [batch, d]."""
    rows, tokens = ~inputs.weight.isfinite().all(dim=1), ~inputs.x(fresh).isfinite().all(dim=1)
    return (rows[None, :] | tokens[:, None]).numpy()


def kinds(values):
    return {kind for kind in map(str, VALUES) if any(str(value) == kind for value in values)}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_kind_is_there_and_so_are_finite_rows_and_tokens(dtype):
    inputs = inputs_of(dtype=dtype)
    for values in (inputs.weight, inputs.weight_value, inputs.x(0), inputs.x(1)):
        bad = ~values.isfinite()
        assert kinds(values[bad].tolist()) == {"nan", "inf", "-inf"}
        assert not bad.any(dim=1).all()
    assert (~inputs.weight.isfinite() & ~inputs.weight_value.isfinite()).sum() == 0
    assert inputs.x(0)[0].isfinite().all()
    assert not inputs.x(1)[0].isfinite().all()


@pytest.mark.parametrize("nm", [1, 2, 3])
def test_masks_keep_and_drop_every_kind_in_weights_and_in_x(nm):
    inputs = inputs_of(nm=nm)
    rows, columns = np.nonzero(~inputs.weight.isfinite().numpy())
    for i in range(nm):
        kept = inputs.mask(i)[rows, columns]
        values = inputs.weight.numpy()[rows, columns]
        assert kinds(values[kept]) == kinds(values[~kept]) == {"nan", "inf", "-inf"}
        for fresh in (0, 1):
            for column in np.nonzero(~inputs.x(fresh).isfinite().numpy())[1]:
                assert 0 < inputs.mask(i)[:, column].mean() < 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_with_masks_whatever_is_touched_is_nan_and_nothing_else(activation):
    for mask in ("bernoulli:0.5", "ones", "zeros"):
        inputs = inputs_of(activation=activation, mask=mask)
        for fresh in (0, 1):
            y = inputs.reference("mglu", 2, fresh)
            assert (np.isnan(y) == touched(inputs, fresh)).all()
            assert not np.isinf(y).any()


def test_without_masks_infinities_go_as_the_activation_takes_them():
    gate = inputs_of().reference("product", 0, 0)
    plus, minus, nan = gate == np.inf, gate == -np.inf, np.isnan(gate)
    for found in (plus, minus, nan):
        assert found.any()
    for activation in ACTIVATIONS:
        y = inputs_of(activation=activation).reference("lu", 0, 0)
        assert (y[plus] == np.inf).all()
        assert np.isnan(y[nan]).all()
        assert (y[minus] == 0).all() if activation == "relu" else np.isnan(y[minus]).all()


def test_inputs_are_finite_unless_asked_otherwise():
    case = make_case(h=H, d=D)
    dense = DenseInputs(case)
    for values in (dense.weight, dense.weight_value, dense.tokens_drawn):
        assert values.isfinite().all()
    planted = DenseInputs(case, non_finite=True)
    there = planted.weight.isfinite()
    assert (planted.weight[there] == dense.weight[there]).all()
