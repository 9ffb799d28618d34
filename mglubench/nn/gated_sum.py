"""From projections to the layer's output, y = sum_i G_i g(s_i) v_i with v_i = t - s_i, keeping only the projections.

t and s_i are those of :mod:`mglubench.nn.straight_through`; G_i are the gate weights of a router, 1 without one::

    ds_i = dy G_i (g'(s_i) v_i - g(s_i))       dt = sum_i dy G_i g(s_i)       dG_i = sum over d of dy g(s_i) v_i

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

from mglubench.nn.straight_through import Context, Gradients


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
    """With the activation's name, and whether there are gate weights."""

    activation: str
    routed: bool


class GatedSum(torch.autograd.Function):
    """Name of g, gate weights [tokens, nm] or None, t and s_1, ..., s_nm [tokens, d] to y [tokens, d]."""

    @staticmethod
    def forward(
        ctx: GatedContext, activation: str, weights: torch.Tensor | None, t: torch.Tensor, *gates: torch.Tensor
    ) -> torch.Tensor:
        """One mask after the other."""
        ctx.activation, ctx.routed = activation, weights is not None
        ctx.save_for_backward(t, *gates, *(() if weights is None else (weights,)))
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
        t, *gates = ctx.saved_tensors
        weights = gates.pop() if ctx.routed else None
        g, through = ACTIVATION[ctx.activation]
        dt: torch.Tensor | None = None
        ds, dweights = [], []
        for i, s in enumerate(gates):
            value, gate, up = t - s, g(s), dy
            if weights is not None:
                dweights.append((gate * value).mul_(dy).sum(-1))
                up = dy * weights[:, i, None]
            gate = gate.mul_(up)
            ds.append(through(value.mul_(up), s).sub_(gate))
            dt = gate if dt is None else dt.add_(gate)
        return None, torch.stack(dweights, -1) if weights is not None else None, dt, *ds


class GatedHalves(torch.autograd.Function):
    """Name of g, value and gate [tokens, d] to y = g(gate) value, [tokens, d]."""

    @staticmethod
    def forward(ctx: GatedContext, activation: str, value: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Keeps the halves alone; g is computed again."""
        ctx.activation = activation
        ctx.save_for_backward(value, gate)
        return ACTIVATION[activation].g(gate).mul_(value)

    @staticmethod
    def backward(ctx: GatedContext, dy: torch.Tensor) -> Gradients:
        """dvalue = dy g(gate), dgate = dy value g'(gate)."""
        value, gate = ctx.saved_tensors
        g, through = ACTIVATION[ctx.activation]
        return None, g(gate).mul_(dy), through(dy * value, gate)
