"""The projections of a masked layer in training, x W and x (M_i * W), and how gradients pass the masks.

A learned mask is the sign of a logit, M = logit > 0, strictly. Its gradient is taken as if M were the logit itself
(straight through; arXiv 2506.23225, algorithm 2). With dt and ds_i the gradients of the projections, A_i = ds_i^T x::

    dx = dt W + sum_i ds_i (M_i * W)        dW = dt^T x + sum_i M_i * A_i        dlogit_i = W * A_i

These are nm + 1 products a pass where the printed algorithm has 2 nm, and what backward needs is x, W and the masks
themselves: masked copies of W are made again, one at a time. Importing this module imports torch.
"""

from __future__ import annotations

from typing import Protocol

import torch

Gradients = tuple[torch.Tensor | None, ...]


class Context(Protocol):
    """What torch hands to both directions of a function."""

    saved_tensors: tuple[torch.Tensor, ...]
    needs_input_grad: tuple[bool, ...]

    def save_for_backward(self, *tensors: torch.Tensor | None) -> None: ...


def straight_through(logits: torch.Tensor) -> torch.Tensor:
    """0 or 1 for each logit, in its dtype, whose gradient is the logit's own: algorithm 2 as printed."""
    hard = (logits > 0).to(logits.dtype)
    return (hard - logits).detach() + logits


def masked(weight: torch.Tensor, mask: torch.Tensor, spare: torch.Tensor | None = None) -> torch.Tensor:
    """``weight`` where ``mask`` is true, or where it is a positive logit, and 0 elsewhere, [d, h].

    It may be written to ``spare``: a fresh matrix costs more than the pass itself, since its pages are fresh as well.
    """
    if mask.dtype == weight.dtype:
        # The gradient of a threshold is this very function in one vectorised pass; where() took 25 times as long.
        threshold = torch.ops.aten.threshold_backward
        if spare is not None:
            threshold.grad_input(weight, mask, 0, grad_input=spare)
        chosen: torch.Tensor = threshold(weight, mask, 0) if spare is None else spare
        return chosen
    return (mask if mask.dtype == torch.bool else mask > 0).to(weight.dtype).mul_(weight)


class Projections(torch.autograd.Function):
    """x [tokens, h], W [d, h], masks [nm, d, h] (boolean or logits) to t and s_1, ..., s_nm, [tokens, d] each."""

    @staticmethod
    def forward(ctx: Context, x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Nothing is kept but what came in."""
        ctx.save_for_backward(x, weight, masks)
        return x @ weight.T, *(x @ masked(weight, mask).T for mask in masks)

    @staticmethod
    def backward(ctx: Context, dt: torch.Tensor, *ds: torch.Tensor) -> Gradients:
        """The formulas of the module's head; what nobody asks for is not computed."""
        x, weight, masks = ctx.saved_tensors
        for_x, for_weight, for_masks = ctx.needs_input_grad
        dx = dt @ weight if for_x else None
        dweight = dt.T @ x if for_weight else None
        dmasks = torch.empty_like(masks) if for_masks else None
        copy = None
        for i, (mask, gradient) in enumerate(zip(masks, ds, strict=True)):
            if dx is not None:
                copy = masked(weight, mask, copy)
                dx.addmm_(gradient, copy)
            if dweight is None and dmasks is None:
                continue
            product = gradient.T @ x
            if dweight is not None:
                copy = masked(product, mask, copy)
                dweight += copy
            if dmasks is not None:
                torch.mul(product, weight, out=dmasks[i])
        return dx, dweight, dmasks
