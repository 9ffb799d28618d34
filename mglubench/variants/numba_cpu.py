"""``mglu-numba-cpu``: MGLU in one pass over W with truly bit-packed masks, and its fair rival ``swiglu-numba-cpu``.

W is read once for the whole batch, nm bits per element travel beside it, and the activation, the product and the sum
over masks happen before the row is left. Rows are spread over all cores. Design: a masked sum per gate and one plain
sum (value = total - gate), so nm + 1 sums, not 2 nm. The SwiGLU is the same loop over two matrices: what is left
between the two is the method, not the quality of the code.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from mglubench.spec.case import Case
from mglubench.spec.ledger import Ledger, declare
from mglubench.spec.packing import get_layout, pack, round_up
from mglubench.spec.problem import Problem
from mglubench.variants.base import Launch, Variant
from mglubench.variants.numba_cpu_ir import LANES, PIECES_PER_THREAD, as_bits, row_kernel, token_tile

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
        layer = _glu_layer(gate.tile, problem.case.dtype, problem.case.activation)

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


@cache
def mglu_layer(nm: int, tile: int, dtype: str, activation: str) -> Any:
    """The compiled layer ``(weight[d, H], masks, x[B, H] fp32, y[batch, d] fp32, pieces)``."""
    import numba
    import numpy as np

    row = row_kernel(nm, tile, dtype)
    act = _activation(activation)
    itemsize = 4 if dtype == "float32" else 2

    # No "nnan" and "ninf": a non-finite weight or x must come out as NaN, as 0 * inf does in the definition.
    @numba.njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", nogil=True)
    def layer(weight, masks, x, y, pieces):  # type: ignore[no-untyped-def]
        d, columns = weight.shape
        batch = y.shape[0]
        blocks = columns // LANES
        for piece in numba.prange(pieces):
            sums = np.empty((nm + 1, tile), np.float32)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                w_row = weight.ctypes.data + r * columns * itemsize
                m_row = masks.ctypes.data + r * blocks * nm * 2
                for token in range(0, batch, tile):
                    row(w_row, m_row, x.ctypes.data + token * columns * 4, columns, blocks, sums.ctypes.data)
                    for t in range(min(tile, batch - token)):
                        total = sums[nm, t]
                        result = np.float32(0.0)
                        for i in range(nm):
                            result += act(sums[i, t]) * (total - sums[i, t])
                        y[token + t, r] = result if np.isfinite(total) else np.float32(np.nan)

    return layer


@cache
def _glu_layer(tile: int, dtype: str, activation: str) -> Any:
    """The compiled layer ``(gate[d, H], value[d, H], x[B, H] fp32, y[batch, d] fp32, pieces)``."""
    import numba
    import numpy as np

    row = row_kernel(0, tile, dtype)
    act = _activation(activation)
    itemsize = 4 if dtype == "float32" else 2

    @numba.njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", nogil=True)
    def layer(gate, value, x, y, pieces):  # type: ignore[no-untyped-def]
        d, columns = gate.shape
        batch = y.shape[0]
        blocks = columns // LANES
        for piece in numba.prange(pieces):
            sums = np.empty((2, tile), np.float32)
            for r in range(piece * d // pieces, (piece + 1) * d // pieces):
                offset = r * columns * itemsize
                for token in range(0, batch, tile):
                    x_tile = x.ctypes.data + token * columns * 4
                    row(gate.ctypes.data + offset, 0, x_tile, columns, blocks, sums.ctypes.data)
                    row(value.ctypes.data + offset, 0, x_tile, columns, blocks, sums.ctypes.data + tile * 4)
                    for t in range(min(tile, batch - token)):
                        y[token + t, r] = act(sums[0, t]) * sums[1, t]

    return layer


@cache
def _activation(name: str) -> Any:
    import math

    import numba
    import numpy as np

    def silu(v):  # type: ignore[no-untyped-def]
        return v / (np.float32(1.0) + np.exp(-v))

    def gelu(v):  # type: ignore[no-untyped-def]
        return np.float32(0.5) * v * (np.float32(1.0) + np.float32(math.erf(v * np.float32(0.7071067811865476))))

    def relu(v):  # type: ignore[no-untyped-def]
        return max(v, np.float32(0.0))

    return numba.njit({"silu": silu, "gelu": gelu, "relu": relu}[name])
