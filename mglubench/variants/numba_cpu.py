"""``mglu-numba-cpu``: MGLU in one pass over W with truly bit-packed masks, and its fair rival ``swiglu-numba-cpu``.

W is read once for the whole batch, nm bits per element travel beside it, and the activation, the product and the sum
over masks happen before the row is left. Rows are spread over all cores. Design: a masked sum per gate and one plain
sum (value = total - gate), so nm + 1 sums, not 2 nm. The SwiGLU is the same loop over two matrices: what is left
between the two is the method, not the quality of the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.cases.case import Case
from mglubench.kernels.cpu_call import glu_layer, mglu_layer
from mglubench.kernels.numba_cpu_ir import LANES, PIECES_PER_THREAD, as_bits, token_tile
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.masks import get_layout, pack, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    import torch

LAYOUT = "row-words16"


class MGLUNumbaCPU(Variant):
    """The embedded default for machines without a GPU."""

    name = "mglu-numba-cpu"
    summary = "one pass over W with bit-packed masks, LLVM vector code through Numba"
    layer = "mglu"
    backend = "numba"
    devices = ("cpu",)

    def declare(self, case: Case) -> Ledger:
        """nm bits per element; columns are padded to 16."""
        columns = round_up(case.h, LANES)
        masks = get_layout(LAYOUT).nbytes(case.nm, case.d, case.h)
        ledger = declare("mglu", case, mask_bytes=masks)
        return Ledger(case.d * columns * case.itemsize, masks, ledger.x, ledger.y, ledger.flops)

    def prepare(self, problem: Problem) -> Launch:
        """Pack masks, pad rows to 16 columns where h is not a multiple, compile for (nm, tile, dtype)."""
        import numpy as np

        case = problem.case
        masks = pack(problem.masks(), LAYOUT).data.view(np.uint16)
        rows = _PaddedRows(problem, problem.weight, sums_per_token=case.nm + 1)
        layer = mglu_layer(case.nm, rows.tile, case.dtype, case.activation)

        def launch() -> None:
            rows.load_x()
            layer(rows.weight, masks, rows.x, rows.y, rows.pieces)
            rows.store_y()

        launch()
        return launch


class SwiGLUNumbaCPU(Variant):
    """The fair baseline on a CPU: as good a loop as ours, over two matrices."""

    name = "swiglu-numba-cpu"
    summary = "fused SwiGLU of the same quality as mglu-numba-cpu: the fair baseline on a CPU"
    layer = "glu"
    backend = "numba"
    devices = ("cpu",)

    def prepare(self, problem: Problem) -> Launch:
        """Pad rows to 16 columns where h is not a multiple, compile for (tile, dtype)."""
        gate = _PaddedRows(problem, problem.weight, sums_per_token=1)
        value = _PaddedRows(problem, problem.weight_value, sums_per_token=1)
        layer = glu_layer(gate.tile, problem.case.dtype, problem.case.activation)

        def launch() -> None:
            gate.load_x()
            layer(gate.weight, value.weight, gate.x, gate.y, gate.pieces)
            gate.store_y()

        launch()
        return launch


class _PaddedRows:
    """The buffers of a row-wise layer: W padded to whole blocks, x in fp32, y in fp32."""

    def __init__(self, problem: Problem, weight: torch.Tensor, sums_per_token: int) -> None:
        import numba
        import torch

        case = problem.case
        columns = round_up(case.h, LANES)
        self.weight = as_bits(torch.nn.functional.pad(weight, (0, columns - case.h)).contiguous())
        self.tile = token_tile(sums_per_token - 1, case.batch)
        self.pieces = min(case.d, numba.get_num_threads() * PIECES_PER_THREAD)
        self._problem = problem
        self._x = torch.zeros((round_up(case.batch, self.tile), columns))
        self._used = self._x[: case.batch, : case.h]
        self._y = torch.empty((case.batch, case.d))
        self.x, self.y = self._x.numpy(), self._y.numpy()

    def load_x(self) -> None:
        """Widen the problem's x."""
        self._used.copy_(self._problem.x)

    def store_y(self) -> None:
        """Round y into the problem's."""
        self._problem.y.copy_(self._y)
