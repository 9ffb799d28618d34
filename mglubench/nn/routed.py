"""``routed_mglu``: the layer with a router's weights per token, in one pass over W and the masks that some token keeps.

On a CPU the sums come from a compiled kernel and are weighed by torch; on CUDA ``flash_mglu_routed`` does it all. An
operator to compilers. Inference only. Importing this module imports torch.
"""

from __future__ import annotations

import torch

from mglubench.kernels import cuda_call
from mglubench.kernels.cuda_catalogue import ROUTED
from mglubench.kernels.routed_call import routed_sums
from mglubench.nn.functional import aligned
from mglubench.nn.gated_sum import ACTIVATION


def routed_mglu(
    x: torch.Tensor, weight: torch.Tensor, planes: torch.Tensor, gates: torch.Tensor, activation: str
) -> torch.Tensor:
    """Y [tokens, d] of x [tokens, h], in x's dtype.

    Args:
        weight: [d, columns] and planes: on a CPU uint8 [nm, d, columns / 8], both padded to multiples of 16 columns
            (:func:`mglubench.kernels.routed_call.routed_sums`); on CUDA uint8 [bytes] in layout ``mma-16x64-planes``
            and a weight padded to multiples of 8. gates: [tokens, nm] of x's dtype, 0 where a mask is not kept.

    Raises:
        MglubenchError: the kernel cannot be built or launched (CUDA).
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


@torch.no_grad()
def _on_cuda(
    x: torch.Tensor, weight: torch.Tensor, planes: torch.Tensor, gates: torch.Tensor, activation: str
) -> torch.Tensor:
    """The kernel finds the masks that some token keeps by itself: asking for them would wait for the GPU."""
    y = x.new_empty((x.shape[0], weight.shape[0]))
    x = x.contiguous()
    for part in cuda_call.slices(x.shape[0], ROUTED.tokens_max):
        operands = cuda_call.Operands(weight, x.shape[1], gates.shape[1], planes, aligned(gates[part]))
        cuda_call.enqueue((ROUTED,), operands, x[part], y[part], activation)
    return y


def _fake(
    x: torch.Tensor, weight: torch.Tensor, planes: torch.Tensor, gates: torch.Tensor, activation: str
) -> torch.Tensor:
    return x.new_empty((x.shape[0], weight.shape[0]))


_NAME = "mglubench::routed_mglu"
torch.library.define(_NAME, "(Tensor x, Tensor weight, Tensor planes, Tensor gates, str activation) -> Tensor")
torch.library.impl(_NAME, "cpu", _on_cpu)
torch.library.impl(_NAME, "cuda", _on_cuda)
torch.library.register_fake(_NAME, _fake)
_operator = torch.ops.mglubench.routed_mglu.default
