"""``stream-read``: every weight is read once and summed by row; what this device's memory can give.

Its bandwidth on a buffer far larger than the caches is the ceiling that shares and rooflines are measured against. On a
CPU it is the vector loop of ``mglu-numba-cpu`` without masks, against a row of ones; on CUDA it is torch's row sum.

Which loop reads fastest differs by machine, and the ceiling is the best of several: on a CPU four rows side by side as
well, and eight that are asked for ahead (:mod:`~mglubench.kernels.stream_ir`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from mglubench.cases.case import Case
from mglubench.kernels.cpu_call import ROW_MULTIPLE, row_sums_call
from mglubench.kernels.cpu_rows import ROW_SUMS_KEPT
from mglubench.kernels.on_device import pad_columns
from mglubench.kernels.stream_call import stream_sums_call
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    import torch


class StreamRead(Variant):
    """The bandwidth ceiling."""

    name = "stream-read"
    summary = "reads W once and sums it by row: the measured bandwidth ceiling of the device"
    layer = "read"
    method = "fused"
    default = False

    def method_of(self, case: Case) -> str:
        """On a CPU, vectors times what is unrolled."""
        return f"{self.method}/{ROW_SUMS_KEPT}" if case.device_kind == "cpu" else self.method

    def prepare(self, problem: Problem) -> Launch:
        """y[b, r] = sum_k W[r, k] for every b; x is not read."""
        if problem.case.device_kind == "cpu":
            return _on_cpu(problem)
        import torch

        weight, y = problem.weight, problem.y

        def launch() -> None:
            y.copy_(torch.sum(weight, dim=1, dtype=torch.float32))

        return launch


class StreamReadStreams(Variant):
    """The bandwidth ceiling of a CPU, several streams a thread."""

    name = "stream-read-streams"
    summary = "reads W once, four rows side by side in every thread: what a CPU's memory gives to several streams"
    layer = "read"
    method = "fused"
    backend = "numba"
    devices = ("cpu",)
    default = False
    streams: ClassVar[int] = 4
    ahead: ClassVar[int] = 0

    def prepare(self, problem: Problem) -> Launch:
        """y[b, r] = sum_k W[r, k] for every b; x is not read."""
        return _summing(problem, stream_sums_call(pad_columns(problem.weight, ROW_MULTIPLE), self.streams, self.ahead))


class StreamReadAhead(StreamReadStreams):
    """More streams than the hardware follows, asked for before they are needed."""

    name = "stream-read-ahead"
    summary = "as stream-read-streams, eight rows that are asked for 512 bytes ahead of their use"
    streams = 8
    ahead = 512


def _on_cpu(problem: Problem) -> Launch:
    return _summing(problem, row_sums_call(pad_columns(problem.weight, ROW_MULTIPLE)))


def _summing(problem: Problem, call: Callable[[torch.Tensor], None]) -> Launch:
    import torch

    y, sums = problem.y, torch.empty(problem.case.d)

    def launch() -> None:
        call(sums)
        y.copy_(sums)

    launch()
    return launch
