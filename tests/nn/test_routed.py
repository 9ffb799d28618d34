"""The CUDA side of a routed layer: what reaches the kernel; on a GPU the layer itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import silu

from mglubench.kernels.cuda_catalogue import ROUTED
from mglubench.layer.masks import PackedMasks, pack, unpack
from mglubench.nn import SwiMGLU, export_packed, routed

TOKENS, H, D, NM = 19, 72, 21, 3


def weighed(x: torch.Tensor, weight: torch.Tensor, masks: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
    """The definition in float64."""
    x, weight, gates = x.double(), weight.double(), gates.double()
    parts = [silu(x @ (m * weight).T) * (x @ (~m * weight).T) for m in masks]
    return sum(gates[:, i, None] * part for i, part in enumerate(parts))


def test_tokens_go_to_the_kernel_in_slices_with_their_own_weights(monkeypatch):
    torch.manual_seed(0)
    x, weight, gates = torch.randn(TOKENS, H).half(), torch.randn(D, H).half(), torch.rand(TOKENS, NM).half()
    masks = torch.rand(NM, D, H) < 0.4
    calls = []

    def kernel(kernels, operands, x, y, activation):
        packed = PackedMasks(operands.masks.numpy(), ROUTED.layout, operands.nm, D, operands.h)
        calls.append((len(x), operands.value.data_ptr() % 16, activation))
        assert kernels == (ROUTED,)
        assert operands.value.is_contiguous()
        y.copy_(weighed(x, operands.weight, torch.from_numpy(unpack(packed)), operands.value))

    monkeypatch.setattr(routed.cuda_call, "enqueue", kernel)
    planes = torch.from_numpy(pack(masks.numpy(), ROUTED.layout).data)
    y = routed._on_cuda(x, weight, planes, gates, "silu")
    assert calls == [(16, 0, "silu"), (3, 0, "silu")]
    assert torch.equal(y, weighed(x, weight, masks, gates).half())


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("h", "nm", "k", "tokens"), [(37, 4, 1, 1), (2048, 8, 2, 5), (1000, 16, 3, 20)])
def test_a_routed_layer_agrees_with_float64_on_the_gpu(h, nm, k, tokens, dtype):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU can be used here")
    torch.manual_seed(k)
    layer = SwiMGLU(h, 48, nm, top_k=k, router="softmax-then-topk").to(dtype)
    packed, x = export_packed(layer).cuda(), torch.randn(tokens, h).to(dtype)
    gates = packed.gate_weights(x.cuda()).cpu()
    y = packed(x.cuda()).cpu().double()
    expected = weighed(x, layer.weight.detach(), layer.hard_masks(), gates)
    assert np.linalg.norm(y - expected) <= (1e-3 if dtype == torch.float16 else 8e-3) * np.linalg.norm(expected)
