"""Two processes train one layer by DistributedDataParallel over gloo; rank 0 writes its gradients. Run by a test."""

from __future__ import annotations

import sys

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mglubench.nn import SwiMGLU

if __name__ == "__main__":
    rank, meeting, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.manual_seed(0)
    layer, x = SwiMGLU(8, 6, 2), torch.randn(4, 8)
    parallel = DistributedDataParallel(layer)
    for _ in range(2):
        layer.zero_grad()
        parallel(x[2 * rank : 2 * rank + 2]).square().mean().backward()
    if rank == 0:
        torch.save({name: p.grad for name, p in layer.named_parameters()}, out)
    distributed.barrier()
    distributed.destroy_process_group()
