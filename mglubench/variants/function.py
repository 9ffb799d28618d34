"""A plain function as a variant: it gets tensors and returns the output; the rest is as for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mglubench.cases.vocabulary import LayerKind, one_of
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    import torch

Function = Callable[..., "torch.Tensor"]

# What a function is given, by layer, all on the case's device.
ARGUMENTS: dict[LayerKind, str] = {
    "lu": "x, weight",
    "glu": "x, weight, weight_value",
    "mglu": "x, weight, masks",
}


class FunctionVariant(Variant):
    """Calls a function and copies what it returns into y; the copy is timed with it.

    Args:
        function: of :data:`ARGUMENTS`: x [batch, h], weight and weight_value [d, h], masks [nm, d, h] of booleans;
            returns [batch, d].
    """

    summary = "a function of the user's own"
    default = False

    def __init__(self, function: Function, name: str, layer: str) -> None:
        vars(self).update(name=name, layer=one_of(layer, ARGUMENTS, "layer of a function"))
        self._function = function

    def prepare(self, problem: Problem) -> Launch:
        """Nothing is done before the launch but stacking the masks."""
        import torch

        function, x, y = self._function, problem.x, problem.y
        weights = [problem.weight]
        if self.layer == "glu":
            weights.append(problem.weight_value)
        if self.layer == "mglu":
            weights.append(torch.stack([problem.mask_tensor(i) for i in range(problem.case.nm)]))

        def launch() -> None:
            y.copy_(function(x, *weights))

        return launch
