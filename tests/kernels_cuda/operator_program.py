"""The operator and the packed layer over weights of every format on the stand-in device; prints errors as JSON.

Started by test_kernel_launches.py. The libraries are nvcc's and run by host emulation on the CPU's own memory, so that
plain tensors serve as those of a device; of torch there are twins of what the call path asks of a GPU.
"""

from __future__ import annotations

import ctypes
import json
from contextlib import nullcontext
from types import SimpleNamespace

import torch

from mglubench.kernels import cuda_call
from mglubench.kernels.operator_backends import BACKENDS, coded_weight
from mglubench.kernels.tuning import Gpu
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.masks import pack
from mglubench.nn import functional

# 19 tokens are two launches; rows and columns are no whole tiles.
H, D, NM, TOKENS = 712, 40, 2, 19


def errors(name: str) -> list[float]:
    """Relative errors of one token and of many."""
    generator = torch.Generator().manual_seed(len(name))
    matrix = FORMATS[name].quantise(torch.randn(D, H, generator=generator) / H**0.5)
    masks = torch.rand(NM, D, H, generator=generator) < 0.5
    x = torch.randn(TOKENS, H, generator=generator).half()
    packed = torch.from_numpy(pack(masks.numpy(), BACKENDS["cuda"].layout).data)
    laid, weight = coded_weight(matrix, "cuda"), matrix.dequantised().double()
    found = []
    for tokens in (x[:1], x):
        y = functional._on_cuda(tokens, laid, packed, NM, "silu", name, D)
        assert ctypes.CDLL("libcudart.so.13").cudaDeviceSynchronize() == 0
        wide = tokens.double()
        gates = [wide @ (weight * mask).T for mask in masks]
        expected = sum(torch.nn.functional.silu(gate) * (wide @ weight.T - gate) for gate in gates)
        found.append(float((y.double() - expected).norm() / expected.norm()))
    return found


def main() -> dict[str, list[float]]:
    stream = SimpleNamespace(cuda_stream=0, synchronize=lambda: None)
    torch.cuda.device = lambda device: nullcontext()
    torch.cuda.current_stream = lambda device=None: stream
    torch.cuda.is_current_stream_capturing = lambda: False
    cuda_call.gpu_of = lambda device: Gpu("stand-in", "sm_90a", 132)
    return {name: errors(name) for name in FORMATS}


if __name__ == "__main__":
    print(json.dumps(main()))
