"""``routed_mglu``: the layer with a router's weights per token, in one pass over W and the masks that some token keeps.

CPU alone; an operator to compilers. Inference only. Importing this module imports torch.
"""

from __future__ import annotations

import torch

from mglubench.kernels.routed_call import routed_sums
from mglubench.nn.gated_sum import ACTIVATION


def routed_mglu(
    x: torch.Tensor, weight: torch.Tensor, planes: torch.Tensor, gates: torch.Tensor, activation: str
) -> torch.Tensor:
    """Y [tokens, d] of x [tokens, h], in x's dtype.

    Args:
        weight: [d, columns] and planes: uint8 [nm, d, columns / 8], padded to multiples of 16 columns
            (:func:`mglubench.kernels.routed_call.routed_sums`). gates: [tokens, nm], 0 where a mask is not kept.
    """
    y: torch.Tensor = _operator(x, weight, planes, gates, activation)
    return y


@torch.no_grad()
def _on_cpu(
    x: torch.Tensor, weight: torch.Tensor, planes: torch.Tensor, gates: torch.Tensor, activation: str
) -> torch.Tensor:
    used = (gates != 0).any(0).nonzero().flatten()
    if len(used) == 0:
        return x.new_zeros((x.shape[0], weight.shape[0]))
    *sums, t = routed_sums(x, weight, planes, used)
    g, kept = ACTIVATION[activation].g, gates[:, used].float()
    y = torch.zeros_like(t)
    for i, s in enumerate(sums):
        y.addcmul_(g(s), (t - s).mul_(kept[:, i, None]))
    return y.to(x.dtype)


def _fake(
    x: torch.Tensor, weight: torch.Tensor, planes: torch.Tensor, gates: torch.Tensor, activation: str
) -> torch.Tensor:
    return x.new_empty((x.shape[0], weight.shape[0]))


_NAME = "mglubench::routed_mglu"
torch.library.define(_NAME, "(Tensor x, Tensor weight, Tensor planes, Tensor gates, str activation) -> Tensor")
torch.library.impl(_NAME, "cpu", _on_cpu)
torch.library.register_fake(_NAME, _fake)
_operator = torch.ops.mglubench.routed_mglu.default
