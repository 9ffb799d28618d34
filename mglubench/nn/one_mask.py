"""The layer with one mask in training, y = g(x (M * W)) * (x ((1 - M) * W)).

As many products as the printed algorithm has, so what there is to gain is in passes over matrices of the sizes of W and
of y, and in fresh memory for them. With B the gradient of the value, and A that of the gate less B, each [tokens, d]::

    dx = B W + A (M * W)        dW = B^T x + M * (A^T x)        dlogit = W * (A^T x)

Importing this module imports torch.
"""

from __future__ import annotations

import torch

from mglubench.nn.gated_sum import ACTIVATION, GatedContext
from mglubench.nn.straight_through import Gradients, masked


class OneMask(torch.autograd.Function):
    """Name of g, x [tokens, h], W [d, h] and one mask [1, d, h] (boolean or logits) to y [tokens, d]."""

    @staticmethod
    def forward(
        ctx: GatedContext, activation: str, x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor
    ) -> torch.Tensor:
        """Keeps gate and value, beside what came in; g and the masked copy of W are computed again."""
        copy = masked(weight, masks[0])
        gate = x @ copy.T
        value = x @ torch.sub(weight, copy, out=copy).T
        ctx.activation = activation
        ctx.save_for_backward(x, weight, masks, gate, value)
        return ACTIVATION[activation].g(gate).mul_(value)

    @staticmethod
    def backward(ctx: GatedContext, dy: torch.Tensor) -> Gradients:
        """The formulas of the module's head; what nobody asks for is not computed."""
        x, weight, masks, gate, value = ctx.saved_tensors
        _, for_x, for_weight, for_masks = ctx.needs_input_grad
        g, through = ACTIVATION[ctx.activation]
        dvalue = g(gate).mul_(dy)
        difference = through(dy * value, gate).sub_(dvalue)
        dx = dweight = dmasks = copy = None
        if for_x:
            copy = masked(weight, masks[0])
            dx = (difference @ copy).addmm_(dvalue, weight)
        if for_weight or for_masks:
            product = difference.T @ x
            if for_weight:
                dweight = dvalue.T @ x
                dweight += masked(product, masks[0], copy)
            dmasks = product.mul_(weight)[None].to(masks.dtype) if for_masks else None
        return None, dx, dweight, dmasks
