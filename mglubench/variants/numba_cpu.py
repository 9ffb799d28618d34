"""``mglu-numba-cpu``: MGLU in one pass over W with truly bit-packed masks, for a CPU.

W is read once for the whole batch, nm bits per element travel beside it, and the activation, the product and the sum
over masks happen before the row is left. Rows are spread over all cores. Design: a masked sum per gate and one plain
sum (value = total - gate), so nm + 1 sums, not 2 nm.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from mglubench.spec.case import Case
from mglubench.spec.ledger import Ledger, declare
from mglubench.spec.packing import get_layout, pack, round_up
from mglubench.spec.problem import Problem
from mglubench.variants.base import Launch, Variant
from mglubench.variants.numba_cpu_ir import LANES, PIECES_PER_THREAD, as_bits, row_kernel, token_tile

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
        import numba
        import numpy as np
        import torch

        case = problem.case
        columns = round_up(case.h, LANES)
        weight = as_bits(torch.nn.functional.pad(problem.weight, (0, columns - case.h)).contiguous())
        masks = pack(problem.masks(), LAYOUT).data.view(np.uint16)
        tile = token_tile(case.nm, case.batch)
        x = torch.zeros((round_up(case.batch, tile), columns))
        y = torch.empty((case.batch, case.d))
        used = x[: case.batch, : case.h]
        layer = _layer(case.nm, tile, case.dtype, case.activation)
        x_array, y_array = x.numpy(), y.numpy()
        pieces = min(case.d, numba.get_num_threads() * PIECES_PER_THREAD)
        out = problem.y

        def launch() -> None:
            used.copy_(problem.x)
            layer(weight, masks, x_array, y_array, pieces)
            out.copy_(y)

        launch()
        return launch


@cache
def _layer(nm: int, tile: int, dtype: str, activation: str) -> Any:
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
