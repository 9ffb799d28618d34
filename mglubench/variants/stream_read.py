"""``stream-read``: every weight is read once and summed by row; what this device's memory can give.

Its bandwidth on a buffer far larger than the caches is the ceiling that shares and rooflines are measured against. On a
CPU it is the vector loop of ``mglu-numba-cpu`` without masks, against a row of ones; on CUDA it is torch's row sum.
"""

from __future__ import annotations

from mglubench.kernels.cpu_call import ROW_MULTIPLE, row_sums_call
from mglubench.kernels.on_device import pad_columns
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant


class StreamRead(Variant):
    """The bandwidth ceiling."""

    name = "stream-read"
    summary = "reads W once and sums it by row: the measured bandwidth ceiling of the device"
    layer = "read"
    method = "fused"
    default = False

    def prepare(self, problem: Problem) -> Launch:
        """y[b, r] = sum_k W[r, k] for every b; x is not read."""
        if problem.case.device_kind == "cpu":
            return _on_cpu(problem)
        import torch

        weight, y = problem.weight, problem.y

        def launch() -> None:
            y.copy_(torch.sum(weight, dim=1, dtype=torch.float32))

        return launch


def _on_cpu(problem: Problem) -> Launch:
    import torch

    y, sums = problem.y, torch.empty(problem.case.d)
    call = row_sums_call(pad_columns(problem.weight, ROW_MULTIPLE))

    def launch() -> None:
        call(sums)
        y.copy_(sums)

    launch()
    return launch
