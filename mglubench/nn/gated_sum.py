"""From projections to the layer's output, y = sum_i G_i g(s_i) v_i with v_i = t - s_i, keeping at most the projections.

t and s_i are those of :mod:`mglubench.nn.straight_through`; G_i are the gate weights of a router, 1 without one::

    ds_i = dy G_i (g'(s_i) v_i - g(s_i))       dt = sum_i dy G_i g(s_i)       dG_i = sum over d of dy g(s_i) v_i

Of more tokens than there are columns the projections are most of what training keeps. Some of them are then computed
again in backward, as few as :func:`kept_projections` says, so that what is kept stays a quarter of the plain form's.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

from mglubench.nn.straight_through import Context, Gradients, masked


class Activation(NamedTuple):
    """g, and the gradient dy g'(s) from (dy, s)."""

    g: Callable[[torch.Tensor], torch.Tensor]
    backward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


ACTIVATION: dict[str, Activation] = {
    "silu": Activation(functional.silu, torch.ops.aten.silu_backward),
    "gelu": Activation(functional.gelu, torch.ops.aten.gelu_backward),
    "relu": Activation(functional.relu, lambda dy, s: torch.ops.aten.threshold_backward(dy, s, 0)),
}


class GatedContext(Context, Protocol):
    """With the activation's name, whether there are gate weights, and how many projections are left out."""

    activation: str
    routed: bool
    lost: int


# From so many masks on the products that are saved are more than those that are made twice.
SEVERAL = 4


def kept_projections(nm: int, tokens: int, h: int) -> int:
    """How many of nm + 1 projections [tokens, d] are kept for backward.

    The plain form keeps three matrices of y's size a mask (gate, g of it and value) and four of W's (both masked copies
    and what they were multiplied by); a quarter of that is allowed here, and with less than four masks all of them.
    """
    return nm + 1 if nm < SEVERAL else min(nm + 1, int(nm * (3 / 4 + h / max(tokens, 1))))


class GatedSum(torch.autograd.Function):
    """Name of g, gate weights [tokens, nm] or None, x, W, masks, t and s_1, ..., s_nm [tokens, d] to y [tokens, d].

    x, W and masks are what t and s_i came from, which carry their gradients; without x all projections are kept.
    """

    @staticmethod
    def forward(
        ctx: GatedContext,
        activation: str,
        weights: torch.Tensor | None,
        x: torch.Tensor | None,
        weight: torch.Tensor | None,
        masks: torch.Tensor | None,
        *projections: torch.Tensor,
    ) -> torch.Tensor:
        """One mask after the other."""
        t, *gates = projections
        ctx.activation, ctx.routed = activation, weights is not None
        ctx.lost = 0 if x is None else len(projections) - kept_projections(len(gates), *x.shape)
        again = (x, weight, masks) if ctx.lost else (None, None, None)
        ctx.save_for_backward(weights, *again, *projections[ctx.lost :])
        g = ACTIVATION[activation].g
        y: torch.Tensor | None = None
        for i, s in enumerate(gates):
            value, gate = t - s, g(s)
            if weights is not None:
                gate = gate * weights[:, i, None]
            y = value.mul_(gate) if y is None else y.addcmul_(gate, value)
        assert y is not None
        return y

    @staticmethod
    def backward(ctx: GatedContext, dy: torch.Tensor) -> Gradients:
        """The formulas of the module's head."""
        weights, x, weight, masks, *kept = ctx.saved_tensors
        t, *gates = (*lost_projections(x, weight, masks, ctx.lost), *kept)
        g, through = ACTIVATION[ctx.activation]
        dt: torch.Tensor | None = None
        ds, dweights = [], []
        for i, s in enumerate(gates):
            value, gate, up = t - s, g(s), dy
            if ctx.routed:
                dweights.append((gate * value).mul_(dy).sum(-1))
                up = dy * weights[:, i, None]
            gate = gate.mul_(up)
            ds.append(through(value.mul_(up), s).sub_(gate))
            dt = gate if dt is None else dt.add_(gate)
        return None, torch.stack(dweights, -1) if ctx.routed else None, None, None, None, dt, *ds


def lost_projections(x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor, count: int) -> list[torch.Tensor]:
    """The first so many of t, s_1, ..., s_nm, as they were."""
    return [x @ (masked(weight, masks[i - 1]) if i else weight).T for i in range(count)]
