"""``mglu-numba-cpu``: MGLU in one pass over W with truly bit-packed masks, and its fair rival ``swiglu-numba-cpu``.

W is read once for the whole batch, nm bits per element travel beside it, and the activation, the product and the sum
over masks happen before the row is left. Rows are spread over all cores. Design: a masked sum per gate and one plain
sum (value = total - gate), so nm + 1 sums, not 2 nm. The SwiGLU is the same loop over two matrices: what is left
between the two is the method, not the quality of the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import WEIGHTS
from mglubench.kernels.cpu_call import LAYOUT, ROW_MULTIPLE, glu_call, mglu_call
from mglubench.kernels.cpu_choice import GLU, MGLU, CpuKernel
from mglubench.kernels.on_device import masks_on_device, pad_columns
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.dense_inputs import Matrix
from mglubench.layer.formats.weight_formats import format_of
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    import torch


def row_bytes(case: Case) -> int:
    """Bytes of a row of W as the kernels read it, padding and scales included."""
    made = format_of(case)
    return round_up(case.h, ROW_MULTIPLE) * case.itemsize if made is None else made.cpu_row_bytes(case.h)


def rows_of(problem: Problem, matrix: Matrix) -> torch.Tensor:
    """A matrix as the kernels read it."""
    made = format_of(problem.case)
    if made is None:
        return pad_columns(getattr(problem, matrix), ROW_MULTIPLE)
    return made.cpu_rows(problem.stored(matrix))


class CpuVariant(Variant):
    """A CPU kernel.

    Attributes:
        kernel: what it runs, and in which ways it can be made.
    """

    backend = "numba"
    devices = ("cpu",)
    formats = tuple(WEIGHTS)

    kernel: ClassVar[CpuKernel]

    def method_of(self, case: Case) -> str:
        """Vectors times what is unrolled."""
        job = self.kernel.job(case.h, case.d, case.nm, case.batch, case.stored)
        return f"{self.method}/{self.kernel.running_sums(job)}"


class MGLUNumbaCPU(CpuVariant):
    """The embedded default for machines without a GPU."""

    name = "mglu-numba-cpu"
    summary = "one pass over W with bit-packed masks, LLVM vector code through Numba"
    layer = "mglu"
    method = "fused-difference"
    kernel = MGLU

    def declare(self, case: Case) -> Ledger:
        """nm bits per element; columns are padded to 16."""
        masks = get_layout(LAYOUT).nbytes(case.nm, case.d, case.h)
        ledger = declare("mglu", case, mask_bytes=masks)
        return Ledger(case.d * row_bytes(case), masks, ledger.x, ledger.y, ledger.flops)

    def prepare(self, problem: Problem) -> Launch:
        """Pack masks, pad rows to 16 columns where h is not a multiple, compile for (nm, tile, dtype)."""
        case, x, y = problem.case, problem.x, problem.y
        masks = masks_on_device(problem.inputs, case.nm, LAYOUT, "cpu")
        call = mglu_call(rows_of(problem, "weight"), masks, case.nm, case.activation, weights=case.weights)

        def launch() -> None:
            call(x, y)

        launch()
        return launch


class SwiGLUNumbaCPU(CpuVariant):
    """The fair baseline on a CPU: as good a loop as ours, over two matrices."""

    name = "swiglu-numba-cpu"
    summary = "fused SwiGLU of the same quality as mglu-numba-cpu: the fair baseline on a CPU"
    layer = "glu"
    method = "fused"
    nan_for_infinity = ()
    kernel = GLU

    def declare(self, case: Case) -> Ledger:
        """Columns are padded to 16."""
        ledger = declare("glu", case)
        return Ledger(2 * case.d * row_bytes(case), 0, ledger.x, ledger.y, ledger.flops)

    def prepare(self, problem: Problem) -> Launch:
        """Pad rows to 16 columns where h is not a multiple, compile for (tile, dtype)."""
        x, y, case = problem.x, problem.y, problem.case
        gate, value = rows_of(problem, "weight"), rows_of(problem, "weight_value")
        call = glu_call(gate, value, case.activation, weights=case.weights)

        def launch() -> None:
            call(x, y)

        launch()
        return launch
