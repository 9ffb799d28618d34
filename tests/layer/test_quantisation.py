"""Weights of a format in a problem: the reference is over what is stored; what is lost is a figure of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.layer.dense_inputs import DenseInputs
from mglubench.layer.drawing import dense_key
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.input_set import InputSet, activate
from mglubench.layer.problem import Problem
from mglubench.layer.quantisation import quantisation_error
from tests.conftest import make_case

# y = g(a) b is off by about sqrt(2) times the error of the weights.
LEAST = {"int8": 0.004, "int4": 0.08, "fp8-e4m3": 0.02, "mxfp4": 0.1}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_reference_is_over_the_stored_weights(name):
    case = make_case(h=96, d=40, weights=name)
    inputs = InputSet(case)
    values = inputs.dense.stored("weight").dequantised().double().numpy()
    masks, x = inputs.masks(2), inputs.x(0).double().numpy()
    y = sum(activate(x @ (values * mask).T, "silu") * (x @ (values * ~mask).T) for mask in masks)
    assert np.allclose(inputs.reference("mglu", 2, 0), y, rtol=1e-12)
    assert inputs.weight.dtype == torch.float32


@pytest.mark.parametrize("layer", ["lu", "glu", "mglu"])
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_a_format_loses_is_told_apart(name, layer):
    case = make_case(h=256, d=64, weights=name)
    lost = quantisation_error(InputSet(case), layer, 2)
    assert lost is not None
    assert LEAST[name] / 2 < lost < 6 * LEAST[name]
    assert quantisation_error(InputSet(make_case(h=64, d=16)), layer, 2) is None


def test_codes_are_the_callers_own_and_x_alone_is_not_finite():
    case = make_case(h=64, d=40, weights="int8")
    dense = DenseInputs(case, non_finite=True)
    assert bool(torch.isfinite(dense.weight).all())
    assert not bool(torch.isfinite(dense.tokens_drawn).all())
    given = DenseInputs(case, dense)
    problem = Problem.make(case, InputSet(case, given))
    one, two = problem.stored(), problem.replica().stored()
    one.codes.fill_(0)
    assert bool(two.codes.any())
    assert torch.equal(two.dequantised(), dense.weight)
    assert dense_key(case) != dense_key(make_case(h=64, d=40))
