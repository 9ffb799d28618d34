"""Launching a CPU kernel: the one place where packed weights, masks, x and y become its arguments.

The kernels read x as fp32 rows of whole blocks and write y as fp32, or both as bf16 (``dots``). Tensors that are that
already are used as they are; for others there is scratch, which a thread keeps for its next call of the same shape.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

from mglubench.cases.vocabulary import SAME
from mglubench.kernels.cpu_choice import GLU, MGLU, CpuKernel
from mglubench.kernels.cpu_layers import glu_layer, mglu_layer, row_sums
from mglubench.kernels.cpu_rows import LANES, RowShape, as_bits
from mglubench.kernels.cpu_threads import threads_used
from mglubench.kernels.on_device import dtype_of
from mglubench.layer.masks import round_up

if TYPE_CHECKING:
    import torch

    from mglubench.kernels.cpu_rows import Bits

LAYOUT = "row-lanes32"
ROW_MULTIPLE = LANES  # elements
# Scratch that a thread keeps: so many tensors, none of more elements than that.
SCRATCH_KEPT, SCRATCH_ELEMENTS = 8, 1 << 23

CpuCall = Callable[["torch.Tensor", "torch.Tensor"], None]


def mglu_call(
    weight: torch.Tensor,
    masks: torch.Tensor,
    nm: int,
    activation: str,
    shape: RowShape | None = None,
    *,
    weights: str = SAME,
) -> CpuCall:
    """``call(x, y)``: MGLU of x [tokens, h] into y [tokens, d], both of the weight's dtype; any number of tokens.

    Args:
        weight: [d, columns], rows padded to a multiple of 16; of a format, its rows for a CPU, uint8 [d, bytes], with
            x and y of any dtype. masks: uint8 [bytes] in layout ``row-lanes32``.
        shape: of the loop; the one that was chosen for this machine if left out. weights: the format.
    """
    import numpy as np

    operands = as_bits(weight), masks.numpy().view(np.uint16)
    chosen = _shapes(MGLU, weight, nm, weights)

    def call(x: torch.Tensor, y: torch.Tensor) -> None:
        made = shape or chosen(x.shape)
        _run(activation, operands, x, y, made)

    return call


def glu_call(
    gate: torch.Tensor, value: torch.Tensor, activation: str, shape: RowShape | None = None, *, weights: str = SAME
) -> CpuCall:
    """``call(x, y)``: the gated layer of two matrices [d, columns], otherwise as :func:`mglu_call`."""
    operands = as_bits(gate), as_bits(value)
    chosen = _shapes(GLU, gate, 0, weights)

    def call(x: torch.Tensor, y: torch.Tensor) -> None:
        made = shape or chosen(x.shape)
        _run(activation, operands, x, y, made)

    return call


def row_sums_call(weight: torch.Tensor) -> Callable[[torch.Tensor], None]:
    """``call(sums)``: the sum of every row of weight [d, columns] into fp32 sums [d]."""
    import numpy as np

    layer, bits = row_sums(dtype_of(weight)), as_bits(weight)
    ones = np.ones(bits.shape[1], np.float32)

    def call(sums: torch.Tensor) -> None:
        with _alone():
            layer(bits, ones, sums.numpy(), min(bits.shape[0], threads_used()))

    return call


def _shapes(kernel: CpuKernel, weight: torch.Tensor, nm: int, weights: str) -> Callable[[tuple[int, ...]], RowShape]:
    """The shape of a kernel's loop by that of x, [tokens, h]."""
    d, stored = weight.shape[0], dtype_of(weight) if weights == SAME else weights

    def shape_of(x: tuple[int, ...]) -> RowShape:
        tokens, h = x
        return kernel.shape(kernel.job(h, d, nm, tokens, stored))

    return cache(shape_of)


def _run(activation: str, operands: tuple[Bits, Bits], x: torch.Tensor, y: torch.Tensor, shape: RowShape) -> None:
    import torch

    layer = (glu_layer if shape.gated else mglu_layer)(shape, activation)
    tokens, d = y.shape
    if tokens == 0:
        return
    kind = torch.bfloat16 if shape.dots else torch.float32
    wide = _padded(x, round_up(tokens, shape.tile), round_up(x.shape[1], ROW_MULTIPLE), kind)
    out = y if y.dtype == kind and y.is_contiguous() else _SCRATCH.get("y", tokens, d, d, kind)
    with _alone():
        layer(*operands, as_bits(wide), as_bits(out), threads_used())
    if shape.digits and bool(out[0, 0].isnan()):
        # Of an x that is not finite, or that one number stands out of, no digits are made, and nothing is computed.
        _run(activation, operands, x, y, shape._replace(digits=0))
        return
    if out is not y:
        y.copy_(out)


def _padded(x: torch.Tensor, rows: int, columns: int, kind: torch.dtype) -> torch.Tensor:
    """x [tokens, h] as [rows, columns] of a dtype; zero beyond h, anything beyond the tokens."""
    tokens, h = x.shape
    x = x.detach()
    if x.dtype == kind and (rows, columns) == (tokens, h) and x.is_contiguous():
        return x
    wide = _SCRATCH.get("x", rows, columns, h, kind)
    wide[:tokens, :h].copy_(x)
    return wide


def _alone() -> AbstractContextManager[object]:
    """Held around a launch: nothing, or a lock where two threads must not launch at once."""
    return _FREE if _side_by_side() else _LOCK


def _side_by_side() -> bool:
    """Whether Numba's threading layer takes launches of several threads; its ``workqueue`` ends the process instead."""
    global _layer
    if _layer is None:
        from numba.np.ufunc import parallel

        chosen: Callable[[], str] = parallel.threading_layer
        try:
            _layer = chosen()
        except ValueError:
            # It is chosen at the first launch.
            return False
    return _layer != "workqueue"


class _Scratch(threading.local):
    """Zeroed tensors of this thread, by use, shape and dtype, the last used kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], torch.Tensor] = OrderedDict()

    def get(self, use: str, rows: int, columns: int, written: int, kind: torch.dtype | None = None) -> torch.Tensor:
        """[rows, columns], fp32 if not told, of which columns from ``written`` on are zero and stay so."""
        import torch

        key = (use, rows, columns, written, kind)
        found = self._kept.pop(key, None)
        if found is None:
            found = torch.zeros((rows, columns), dtype=kind or torch.float32)
        if found.numel() <= SCRATCH_ELEMENTS:
            self._kept[key] = found
            if len(self._kept) > SCRATCH_KEPT:
                self._kept.popitem(last=False)
        return found


_SCRATCH = _Scratch()
_layer: str | None = None
_LOCK = threading.Lock()
_FREE = nullcontext()
