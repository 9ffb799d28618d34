"""MGLU kernels written in Python, compiled by Numba for the GPU: from the obvious one to a bit-packed one.

Tensors are handed over without a copy and kernels are enqueued on torch's current stream. No variant shares a pass over
W among tokens, so W and the masks are declared once per token.
"""

from __future__ import annotations

from typing import ClassVar

from mglubench.cases.case import Case
from mglubench.errors import UnavailableError
from mglubench.kernels import numba_cuda_call
from mglubench.kernels.numba_cuda_ir import cuda_module, why_nothing_compiles
from mglubench.kernels.numba_cuda_kernels import CHUNK
from mglubench.kernels.on_device import masks_on_device, pad_columns, why_no_gpu
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant


class _NumbaCuda(Variant):
    """Shared: availability, declared bytes, and the first run.

    Attributes:
        layout: of the masks. column_multiple: rows of W are padded to it. bind: makes the launch.
    """

    layer = "mglu"
    backend = "numba"
    devices = ("cuda",)
    layout: ClassVar[str] = "bytes"
    column_multiple: ClassVar[int] = 1
    bind: ClassVar[numba_cuda_call.Bind]

    def why_unavailable(self, device: str) -> str | None:
        """Needs a GPU that Numba can drive, and a Numba that fits its NumPy."""
        reason = super().why_unavailable(device) or why_no_gpu()
        if reason:
            return reason
        if not cuda_module().is_available():
            return "numba-cuda cannot use the CUDA driver; install numba-cuda[cu13]"
        return why_nothing_compiles()

    def declare(self, case: Case) -> Ledger:
        """Masks and rows with their padding, one pass per token."""
        masks = get_layout(self.layout).nbytes(case.nm, case.d, case.h)
        weights = case.d * round_up(case.h, self.column_multiple) * case.itemsize
        floor = declare("mglu", case)
        scratch = self.scratch_bytes(case)
        return Ledger(case.batch * weights, case.batch * masks, floor.x, floor.y, floor.flops, scratch)

    def scratch_bytes(self, case: Case) -> int:
        """What is written and read again."""
        return 0

    def resident_bytes(self, case: Case) -> int:
        """W (and its padded copy) and masks, whatever the batch."""
        copies = 1 if case.h % self.column_multiple == 0 else 2
        ledger = self.declare(case)
        return (copies * ledger.weights + ledger.masks) // case.batch + self.scratch_bytes(case)

    def prepare(self, problem: Problem) -> Launch:
        """Pack, compile, and run once so that compilation is over."""
        case, device = problem.case, problem.weight.device
        try:
            weight = pad_columns(problem.weight, self.column_multiple)
            masks = masks_on_device(problem.inputs, case.nm, self.layout, device)
            launch = self.bind(weight, masks, problem.x, problem.y, case.nm, case.activation)
            launch()
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UnavailableError(f"numba cannot compile or run the kernel here: {lines[0]}") from error
        return launch


class MGLUNumbaNaive(_NumbaCuda):
    """The first kernel that comes to mind."""

    name = "mglu-numba-naive"
    summary = "Numba: a thread per row, a mask byte per element"
    method = "fused-serial"
    bind = staticmethod(numba_cuda_call.naive)


class MGLUNumbaSplitK(_NumbaCuda):
    """The paper's algorithm (arXiv 2506.23225, Algorithms 1 and 3) in Numba."""

    name = "mglu-numba-splitk"
    summary = "Numba: the paper's algorithm, split-K with atomics and a second kernel for the activation"
    method = "fused/32"
    bind = staticmethod(numba_cuda_call.splitk)

    def scratch_bytes(self, case: Case) -> int:
        """2 nm fp32 sums per row and token: added to, read, zeroed."""
        return 3 * 2 * case.nm * 4 * case.d * case.batch


class MGLUNumbaPacked(_NumbaCuda):
    """Bit-packed masks, wide loads, warp shuffles, activation fused."""

    name = "mglu-numba-packed"
    summary = "Numba: bit-packed masks, 16-byte loads, warp shuffles, activation in the same kernel"
    method = "fused-difference/32"
    layout = "row-1024"
    column_multiple = CHUNK
    bind = staticmethod(numba_cuda_call.packed)

    def scratch_bytes(self, case: Case) -> int:
        """A padded copy of x where h is not a multiple of the chunk."""
        columns = round_up(case.h, self.column_multiple)
        return 0 if columns == case.h else 2 * case.batch * columns * case.itemsize
