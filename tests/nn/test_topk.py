"""Routing in both orders against its definition, who gets a gradient, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from mglubench.errors import UsageError
from mglubench.nn import SwiMGLU
from mglubench.nn.topk import ORDERS, routing

FIRST, LAST = "softmax-then-topk", "topk-then-softmax"


def test_weights_are_those_of_the_definition():
    logits = torch.tensor([[1.0, 3.0, 2.0, -1.0]])
    shares = logits.softmax(-1)
    assert torch.equal(routing(logits, 1, LAST), torch.tensor([[0.0, 1.0, 0.0, 0.0]]))
    two = torch.tensor([3.0, 2.0]).softmax(-1)
    torch.testing.assert_close(
        routing(logits, 2, LAST), torch.stack([two.new_zeros(1), *two.split(1), two.new_zeros(1)]).T
    )
    torch.testing.assert_close(routing(logits, 2, FIRST), shares * torch.tensor([0.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(routing(logits, 4, LAST), routing(logits, 4, FIRST))
    assert routing(logits.bfloat16(), 2, LAST).dtype == torch.float32


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_routed_layer_is_its_definition_in_both_forms_with_one_gradient(order, k):
    torch.manual_seed(k)
    lean, plain = (
        SwiMGLU(8, 6, 4, top_k=k, router=order, untrained_router=True, form=form, dtype=torch.double)
        for form in ("lean", "plain")
    )
    plain.load_state_dict(lean.state_dict())
    x = torch.randn(2, 3, 8, dtype=torch.double, requires_grad=True)
    g, weights = torch.nn.functional.silu, lean.gate_weights(x)
    assert ((weights > 0).sum(-1) == k).all()
    parts = [g(x @ (m * lean.weight).T) * (x @ (~m * lean.weight).T) for m in lean.hard_masks()]
    expected = sum(weights[..., i, None] * part for i, part in enumerate(parts))
    gradients = []
    for layer in (lean, plain):
        y = layer(x)
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
        gradients.append(torch.autograd.grad(y.square().sum(), [x, *layer.parameters()]))
    for ours, printed in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, printed, rtol=1e-11, atol=1e-13)


def router_gradient(k: int, order: str) -> float:
    torch.manual_seed(0)
    layer = SwiMGLU(16, 12, 4, top_k=k, router=order, untrained_router=True)
    layer(torch.randn(9, 16)).square().sum().backward()
    return float(layer.router.weight.grad.norm())


def test_one_kept_mask_gives_the_router_a_gradient_only_if_softmax_comes_first():
    assert router_gradient(1, LAST) == 0.0
    assert router_gradient(1, FIRST) > 0
    assert router_gradient(2, LAST) > 0


@pytest.mark.parametrize("order", ORDERS)
def test_gradients_of_the_weights_are_true(order):
    torch.manual_seed(0)
    logits = torch.randn(3, 4, dtype=torch.double, requires_grad=True)
    assert gradcheck(lambda v: routing(v, 2, order), (logits,))


def test_a_routed_layer_compiles_and_runs_under_autocast():
    torch._dynamo.reset()
    layer, x = SwiMGLU(8, 6, 4, top_k=2), torch.randn(5, 8)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert layer.router.weight.grad.norm() > 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SwiMGLU(4, 4, top_k=1), "the router gets no gradient; use router='softmax-then-topk' or top_k=2, or"),
        (lambda: SwiMGLU(4, 4, top_k=5), "top_k must be 1 to nm = 4, got 5"),
        (lambda: SwiMGLU(4, 4, top_k=0), "top_k must be 1 to nm = 4, got 0"),
        (lambda: SwiMGLU(4, 4, top_k=2, router="switch"), "unknown router 'switch'"),
        (lambda: SwiMGLU(4, 4, top_k=2, masked="gate"), "masked='gate' has no such choice"),
        (lambda: routing(torch.zeros(1, 4), 9, LAST), "top_k must be 1 to nm = 4, got 9"),
    ],
)
def test_what_cannot_be_routed_is_one_line(make, said):
    with pytest.raises(UsageError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_router_that_is_not_trained_can_be_asked_for():
    assert SwiMGLU(4, 4, top_k=1, untrained_router=True).router is not None
    assert SwiMGLU(4, 4, top_k=1, router=FIRST).top_k == 1
    assert "top_k=2" in repr(SwiMGLU(4, 4, top_k=2))
