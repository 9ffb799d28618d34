"""The layer as a function of x, W and masks, in the form that trains lean and in the paper's plain one; both equal.

``weights`` are a router's, [tokens, nm], for kind ``both``.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch.nn import functional

from mglubench.nn.gated_sum import ACTIVATION, GatedSum
from mglubench.nn.one_mask import OneMask
from mglubench.nn.straight_through import Projections, straight_through

MASKED = {
    "both": "g(x (M * W)) * (x ((1 - M) * W)), the layer",
    "gate": "g(x (M * W)) * (x W), no mask on the value",
    "value": "g(x W) * (x ((1 - M) * W)), no mask on the gate",
    "none": "g(x W) * (x W), one matrix for both and no masks",
}
Form = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, str, str, torch.Tensor | None], torch.Tensor]
_apply_projections = cast("Callable[..., tuple[torch.Tensor, ...]]", Projections.apply)
_apply_gated_sum = cast("Callable[..., torch.Tensor]", GatedSum.apply)
_apply_one_mask = cast("Callable[..., torch.Tensor]", OneMask.apply)


def lean(
    x: torch.Tensor,
    weight: torch.Tensor,
    masks: torch.Tensor,
    activation: str,
    kind: str,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """nm + 1 products; nothing of W's size is kept for backward."""
    if kind == "both" and len(masks) == 1 and weights is None:
        return _apply_one_mask(activation, x, weight, masks)
    t, first, *others = _apply_projections(x, weight, masks)
    if kind == "both":
        return _apply_gated_sum(activation, weights, x, weight, masks, t, first, *others)
    g = ACTIVATION[activation].g
    if kind == "gate":
        return sum(map(g, others), g(first)) * t
    return g(t) * sum((t - s for s in others), t - first)


def plain(
    x: torch.Tensor,
    weight: torch.Tensor,
    masks: torch.Tensor,
    activation: str,
    kind: str,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Algorithm 2 as printed: 2 nm products, two masked copies of W a mask, which autograd keeps."""
    g = ACTIVATION[activation].g
    parts = []
    for i, mask in enumerate(masks):
        m = (mask if mask.dtype == torch.bool else straight_through(mask)).to(weight.dtype)
        gate = functional.linear(x, weight if kind == "value" else weight * m)
        value = functional.linear(x, weight if kind == "gate" else weight * (1 - m))
        parts.append(g(gate) * value if weights is None else g(gate) * value * weights[:, i, None])
    return sum(parts[1:], parts[0])


def tied(x: torch.Tensor, weight: torch.Tensor, activation: str) -> torch.Tensor:
    """g(x W) * (x W), what is left without masks."""
    t = functional.linear(x, weight)
    return ACTIVATION[activation].g(t) * t


FORMS: dict[str, Form] = {"lean": lean, "plain": plain}
