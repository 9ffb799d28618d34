"""The lean form and the paper's plain one: the same numbers and gradients in float64, and true ones where there are."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from mglubench.nn.gated_sum import ACTIVATION, GatedSum, kept_projections
from mglubench.nn.one_mask import OneMask
from mglubench.nn.straight_through import Projections, masked, straight_through
from mglubench.nn.training_forms import lean, plain
from tests.benchmarks.layer import kept_bytes

TOKENS, H, D = 5, 7, 6
# Of x, W and masks, where every projection is kept.
NOTHING = (None, None, None)


def operands(nm: int, learned: bool = True) -> list[torch.Tensor]:
    torch.manual_seed(nm)
    x, weight = torch.randn(TOKENS, H, dtype=torch.double), torch.randn(D, H, dtype=torch.double)
    logits = 0.01 * torch.randn(nm, D, H, dtype=torch.double)
    logits[:, 0, 0] = 0.0
    return [x.requires_grad_(), weight.requires_grad_(), logits.requires_grad_() if learned else logits > 0]


def with_gradients(form, given, activation, kind):
    y = form(*given, activation, kind)
    torch.manual_seed(0)
    return y, *torch.autograd.grad(y, [t for t in given if t.requires_grad], torch.randn_like(y))


@pytest.mark.parametrize("nm", range(1, 17))
@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
@pytest.mark.parametrize("kind", ["both", "gate", "value"])
@pytest.mark.parametrize("learned", [True, False])
def test_lean_and_plain_are_one_function_with_one_gradient(nm, activation, kind, learned):
    given = operands(nm, learned)
    results = [with_gradients(form, given, activation, kind) for form in (lean, plain)]
    assert len(results[0]) == 4 if learned else 3
    for ours, printed in zip(*results, strict=True):
        torch.testing.assert_close(ours, printed, rtol=1e-12, atol=1e-12)


def test_the_plain_form_is_the_definition_with_masks_that_are_positive_logits():
    x, weight, logits = operands(2)
    m = [[[float(v > 0) for v in row] for row in mask] for mask in logits.tolist()]
    hard = torch.tensor(m, dtype=torch.double)
    assert not hard[:, 0, 0].any()
    expected = sum(torch.nn.functional.silu(x @ (k * weight).T) * (x @ ((1 - k) * weight).T) for k in hard)
    torch.testing.assert_close(plain(x, weight, logits, "silu", "both"), expected, rtol=1e-12, atol=1e-12)


def test_a_logit_gets_the_gradient_of_its_mask():
    """dy/dlogit = W * (gate's gradient - value's gradient)^T x, worked out by hand for one mask."""
    x, weight, logits = operands(1)
    m = (logits[0] > 0).double().requires_grad_()
    y = torch.nn.functional.silu(x @ (m * weight).T) * (x @ ((1 - m) * weight).T)
    (expected,) = torch.autograd.grad(y.sum(), m)
    (found,) = torch.autograd.grad(lean(x, weight, logits, "silu", "both").sum(), logits)
    torch.testing.assert_close(found[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("nm", [1, 3])
@pytest.mark.parametrize("learned", [True, False])
def test_gradients_of_x_and_w_are_true(nm, learned):
    x, weight, masks = operands(nm, learned)
    fixed = masks.detach()
    assert gradcheck(lambda x, w: Projections.apply(x, w, fixed), (x, weight))
    if nm == 1:
        assert gradcheck(lambda x, w: OneMask.apply("silu", x, w, fixed), (x, weight))
    assert gradcheck(lambda x, w: lean(x, w, fixed, "silu", "both"), (x, weight))


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu"])
@pytest.mark.parametrize("nm", [1, 3])
def test_gradients_of_the_gated_sum_are_true_with_and_without_gate_weights(activation, nm):
    torch.manual_seed(1)
    t, *gates = (torch.randn(4, 3, dtype=torch.double, requires_grad=True) for _ in range(nm + 1))
    weights = torch.rand(4, nm, dtype=torch.double, requires_grad=True)
    assert gradcheck(lambda t, *s: GatedSum.apply(activation, None, *NOTHING, t, *s), (t, *gates))
    assert gradcheck(lambda w, t, *s: GatedSum.apply(activation, w, *NOTHING, t, *s), (weights, t, *gates))
    assert gradcheck(lambda w, t, *s: GatedSum.apply(activation, w, *NOTHING, t, *s), (weights.detach(), t, *gates))
    x, weight, masks = operands(1, learned=False)
    assert gradcheck(lambda x, w: OneMask.apply(activation, x, w, masks), (x, weight))


@pytest.mark.parametrize("name", ["silu", "gelu", "relu"])
def test_activations_are_those_of_torch(name):
    values = torch.linspace(-4, 4, 101, dtype=torch.double, requires_grad=True)
    function = getattr(torch.nn.functional, name)
    (expected,) = torch.autograd.grad(function(values).sum(), values)
    assert torch.equal(ACTIVATION[name].g(values), function(values))
    torch.testing.assert_close(ACTIVATION[name].backward(torch.ones_like(values), values.detach()), expected)


def test_masking_is_strict_and_the_same_for_logits_of_another_dtype_and_booleans():
    weight = torch.tensor([[1.5, -2.0, 3.0, 4.0]])
    logits = torch.tensor([[1e-30, 0.0, -0.0, -1.0]])
    expected = torch.tensor([[1.5, 0.0, 0.0, 0.0]])
    for mask in (logits, logits.double(), logits > 0):
        assert torch.equal(masked(weight, mask), expected)
    assert torch.equal(straight_through(logits), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))


def test_what_needs_no_gradient_gets_none():
    for nm in (1, 2):
        x, weight, logits = operands(nm)
        for wanted in ((x,), (weight,), (logits,)):
            given = [t if any(t is w for w in wanted) else t.detach() for t in (x, weight, logits)]
            y = lean(*given, "silu", "both")
            (found,) = torch.autograd.grad(y.sum(), wanted)
            (expected,) = torch.autograd.grad(plain(x, weight, logits, "silu", "both").sum(), wanted)
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("nm", [1, 4])
def test_nothing_of_the_size_of_w_is_kept_per_mask(nm):
    """Saved for backward beside parameters and x: the projections, [tokens, d] each, and nothing [d, h]."""
    x, weight, logits = operands(nm)
    kept: dict[int, torch.Tensor] = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        lean(x, weight, logits, "silu", "both")
    own = [t for t in kept.values() if t.data_ptr() not in {p.data_ptr() for p in (x, weight, logits)}]
    assert sum(t.numel() for t in own) == (nm + 1) * TOKENS * D


@pytest.mark.parametrize("nm", [4, 9])
@pytest.mark.parametrize("tokens", [14, 28, 300])
def test_of_many_tokens_projections_are_computed_again_so_that_a_quarter_of_plains_is_kept(nm, tokens):
    x, weight, logits = operands(nm)
    x = torch.randn(tokens, H, dtype=torch.double, requires_grad=True)
    own = {t.data_ptr() for t in (x, weight, logits)}
    lean_bytes, plain_bytes = (
        kept_bytes(lambda form=form: form(x, weight, logits, "silu", "both"), own) for form in (lean, plain)
    )
    assert lean_bytes == kept_projections(nm, tokens, H) * tokens * D * x.itemsize <= plain_bytes / 4
    ours, printed = (with_gradients(form, [x, weight, logits], "silu", "both") for form in (lean, plain))
    for found, expected in zip(ours, printed, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
