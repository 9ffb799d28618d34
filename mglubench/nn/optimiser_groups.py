"""Parameters for an optimiser, mask logits in a group of their own.

AdamW moves a logit by about the learning rate whatever its gradient is, so how often masks flip is set by their rate,
and decay shrinks a logit without meaning. The paper states neither; name both in a run.
"""

from __future__ import annotations

from typing import TypedDict

from torch import nn

from mglubench.errors import UsageError
from mglubench.nn.layer_checks import not_negative
from mglubench.nn.swimglu import MGLU


class ParameterGroup(TypedDict):
    """What an optimiser of torch takes."""

    name: str
    params: list[nn.Parameter]
    lr: float
    weight_decay: float


def parameter_groups(
    model: nn.Module, lr: float, *, mask_lr_factor: float = 1.0, weight_decay: float = 0.1
) -> list[ParameterGroup]:
    """Groups ``matrices`` (decayed), ``vectors`` (biases, norms: not decayed) and ``masks`` (own rate, not decayed).

    Every parameter that requires a gradient is in one of them, once; a group without parameters is left out.

    Args:
        mask_lr_factor: learning rate of mask logits over ``lr``.

    Raises:
        UsageError: a rate, factor or decay that is negative or not finite; a model without trainable parameters.
    """
    for name, value in (("lr", lr), ("mask_lr_factor", mask_lr_factor), ("weight_decay", weight_decay)):
        not_negative(name, value)
    logits = {id(module.masks) for module in model.modules() if isinstance(module, MGLU)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UsageError(f"{type(model).__name__} has no parameter that requires a gradient")
    masks = [parameter for parameter in trained if id(parameter) in logits]
    others = [parameter for parameter in trained if id(parameter) not in logits]
    groups: list[ParameterGroup] = [
        {"name": "matrices", "params": [p for p in others if p.ndim > 1], "lr": lr, "weight_decay": weight_decay},
        {"name": "vectors", "params": [p for p in others if p.ndim < 2], "lr": lr, "weight_decay": 0.0},
        {"name": "masks", "params": masks, "lr": lr * mask_lr_factor, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
