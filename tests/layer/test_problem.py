"""The problem: seeded inputs, and a reference that agrees with the bare formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mglubench.layer.declared import declare
from mglubench.layer.input_set import InputSet, activate, input_key
from mglubench.layer.problem import Problem, host_bytes
from tests.conftest import make_case, slow_activation, slow_layer


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
@pytest.mark.parametrize("layer", ["read", "product", "lu", "glu", "mglu"])
def test_reference_agrees_with_the_bare_formula(layer, activation, dtype):
    case = make_case(h=37, d=1029, nm=3, batch=3, dtype=dtype, activation=activation)
    inputs = InputSet(case)
    for fresh in (0, 1):
        expected = slow_layer(
            layer,
            inputs.x(fresh).double().numpy(),
            inputs.weight.double().numpy(),
            inputs.weight_value.double().numpy(),
            inputs.masks(3),
            activation,
        )
        np.testing.assert_allclose(inputs.reference(layer, 3, fresh), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["silu", "gelu", "relu"])
def test_activations_are_the_textbook_ones(name):
    values = np.linspace(-9, 9, 101)
    np.testing.assert_allclose(activate(values, name), slow_activation(values, name), rtol=1e-12, atol=1e-15)


def everything(inputs):
    return [inputs.weight, inputs.weight_value, inputs.x(0), inputs.x(1), torch.from_numpy(inputs.masks(2).copy())]


def test_inputs_depend_on_the_seed_alone():
    first, again = everything(InputSet(make_case(seed=5))), everything(InputSet(make_case(seed=5)))
    other = everything(InputSet(make_case(seed=6)))
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_asking_in_another_order_changes_nothing():
    one, two = InputSet(make_case()), InputSet(make_case())
    one.masks(4)
    one.reference("mglu", 4, 1)
    assert torch.equal(one.weight, two.weight)
    np.testing.assert_array_equal(one.mask(1), two.mask(1))


def test_the_two_draws_of_x_differ():
    inputs = InputSet(make_case())
    assert not torch.equal(inputs.x(0), inputs.x(1))


@pytest.mark.parametrize("mask", ["bernoulli:0.5", "bernoulli:0.1"])
def test_masks_of_a_smaller_nm_are_a_prefix(mask):
    few, many = InputSet(make_case(mask=mask, nm=2)), InputSet(make_case(mask=mask, nm=16))
    np.testing.assert_array_equal(few.masks(2), many.masks(16)[:2])
    assert not np.array_equal(many.mask(0), many.mask(1))


@pytest.mark.parametrize(("mask", "share"), [("bernoulli:0.5", 0.5), ("bernoulli:0.1", 0.1), ("ones", 1), ("zeros", 0)])
def test_masks_have_the_stated_share_of_gate_bits(mask, share):
    masks = InputSet(make_case(mask=mask, h=256, d=256)).masks(4)
    assert abs(masks.mean() - share) < 0.01


def test_batch_and_dtype_keep_the_underlying_weights():
    wide, narrow = InputSet(make_case()), InputSet(make_case(dtype="bfloat16", batch=4))
    assert torch.equal(wide.weight.to(torch.bfloat16), narrow.weight)


def test_projections_have_about_unit_size():
    inputs = InputSet(make_case(h=1000, d=500, batch=2))
    y = inputs.x(0).double() @ inputs.weight.double().T
    assert 0.8 < float(y.std()) < 1.2


def test_inputs_are_shared_across_nm_and_mode_but_not_across_masks():
    assert input_key(make_case(nm=1)) == input_key(make_case(nm=9, mode="cold", variant="other"))
    assert input_key(make_case()) != input_key(make_case(mask="ones"))


def test_loading_poisons_the_output_and_keeps_the_addresses():
    case = make_case()
    problem = Problem.make(case, InputSet(case))
    addresses = problem.x.data_ptr(), problem.y.data_ptr()
    problem.y.zero_()
    problem.load(1)
    assert torch.isnan(problem.y).all()
    assert torch.equal(problem.x, problem.inputs.x(1))
    assert (problem.x.data_ptr(), problem.y.data_ptr()) == addresses
    copy = problem.replica()
    assert copy.weight.data_ptr() != problem.weight.data_ptr()


def test_host_memory_grows_with_masks_and_covers_the_weights():
    small, large = make_case(h=1000, d=1000, nm=1), make_case(h=1000, d=1000, nm=16)
    assert host_bytes(large) - host_bytes(small) >= 15 * 1000 * 1000
    assert host_bytes(small) > 2 * 4 * 1000 * 1000


MB = 1e6


@pytest.mark.parametrize(
    ("layer", "h", "d", "nm", "megabytes"),
    [
        ("lu", 2048, 8192, 0, 33.6),
        ("glu", 2048, 8192, 0, 67.1),
        ("mglu", 2048, 8192, 1, 35.7),
        ("mglu", 2048, 8192, 8, 50.3),
        ("lu", 4096, 14336, 0, 117.4),
        ("glu", 4096, 14336, 0, 234.9),
        ("mglu", 4096, 14336, 1, 124.8),
        ("mglu", 4096, 14336, 8, 176.2),
    ],
)
def test_declared_bytes_are_the_floors_of_the_design(layer, h, d, nm, megabytes):
    ledger = declare(layer, make_case(h=h, d=d, nm=nm, dtype="float16"))
    assert (ledger.weights + ledger.masks) / MB == pytest.approx(megabytes, abs=0.06)
    assert ledger.total == ledger.weights + ledger.masks + 2 * (h + d)


def test_published_byte_masks_cost_24_bits_per_element():
    case = make_case(h=2048, d=8192, nm=1, dtype="float16")
    ledger = declare("mglu", case, mask_bytes=case.elements)
    assert (ledger.weights + ledger.masks) / MB == pytest.approx(50.3, abs=0.06)


@pytest.mark.parametrize(
    ("layer", "nm", "flops"),
    [
        ("read", 0, 240),
        ("product", 0, 2 * 240 * 3),
        ("lu", 0, 2 * 240 * 3),
        ("glu", 0, 4 * 240 * 3),
        ("mglu", 4, 10 * 240 * 3),
    ],
)
def test_declared_flops_follow_the_table(layer, nm, flops):
    assert declare(layer, make_case(h=24, d=10, nm=nm, batch=3)).flops == flops


def test_ledger_total_holds_scratch_and_batch():
    ledger = declare("mglu", make_case(h=7, d=3, nm=3, batch=5), scratch=1000)
    assert ledger.masks == 8
    assert ledger.total == 4 * 21 + 8 + 4 * 5 * 7 + 4 * 5 * 3 + 1000
    assert ledger.to_dict()["total"] == ledger.total
