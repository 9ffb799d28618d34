"""``stream-read``: every weight is read once and summed by row; what this device's memory can give.

Its bandwidth on a buffer far larger than the caches is the ceiling that shares and rooflines are measured against. On a
CPU it is the vector loop of ``mglu-numba-cpu`` without masks, against a row of ones; on CUDA it is torch's row sum.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from mglubench.kernels.numba_cpu_ir import LANES, PIECES_PER_THREAD, as_bits, row_kernel
from mglubench.layer.masks import round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    import torch


class StreamRead(Variant):
    """The bandwidth ceiling."""

    name = "stream-read"
    summary = "reads W once and sums it by row: the measured bandwidth ceiling of the device"
    layer = "read"
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
    import numba
    import numpy as np
    import torch

    case, y = problem.case, problem.y
    columns = round_up(case.h, LANES)
    padded: torch.Tensor = torch.nn.functional.pad(problem.weight, (0, columns - case.h)).contiguous()
    weight, ones = as_bits(padded), np.ones(columns, np.float32)
    sums = torch.empty(case.d)
    out, kernel = sums.numpy(), _row_sums(case.dtype)
    pieces = min(case.d, numba.get_num_threads() * PIECES_PER_THREAD)

    def launch() -> None:
        kernel(weight, ones, out, pieces)
        y.copy_(sums)

    launch()
    return launch


@cache
def _row_sums(dtype: str) -> Any:
    import numba
    import numpy as np

    row = row_kernel(0, 1, dtype)
    itemsize = 4 if dtype == "float32" else 2

    @numba.njit(parallel=True, error_model="numpy", nogil=True)
    def row_sums(weight, ones, out, pieces):  # type: ignore[no-untyped-def]
        d, columns = weight.shape
        for piece in numba.prange(pieces):
            total = np.empty(1, np.float32)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                address = weight.ctypes.data + r * columns * itemsize
                row(address, 0, ones.ctypes.data, columns, columns // LANES, total.ctypes.data)
                out[r] = total[0]

    return row_sums
