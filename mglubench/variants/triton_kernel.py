"""``flash-mglu-triton``: bit-packed masks in one pass over W, written in Triton and autotuned on the GPU at hand."""

from __future__ import annotations

import importlib.util

from mglubench.cases.case import Case
from mglubench.kernels.on_device import masks_on_device, pad_columns, why_no_gpu
from mglubench.kernels.triton_call import LAYOUT, ROW_MULTIPLE, bind
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant


class FlashMGLUTriton(Variant):
    """Masks are read as 32-bit words and tested by shifts; sums are fp32 on CUDA cores."""

    name = "flash-mglu-triton"
    summary = "Triton: bit-packed masks, one pass, fp32 sums, autotuned"
    layer = "mglu"
    # 32 lanes, each of which adds eight products to its sum at a time.
    method = "fused-difference/256"
    backend = "triton"
    devices = ("cuda",)

    def why_unavailable(self, device: str) -> str | None:
        """Needs a GPU and the triton package."""
        reason = super().why_unavailable(device) or why_no_gpu(80, nvidia=False)
        if reason or importlib.util.find_spec("triton") is not None:
            return reason
        return "triton is not installed; pip install mglubench[triton]"

    def declare(self, case: Case) -> Ledger:
        """One pass over W and the masks per token, padding included."""
        masks = get_layout(LAYOUT).nbytes(case.nm, case.d, case.h)
        weights = case.d * round_up(case.h, ROW_MULTIPLE) * case.itemsize
        floor = declare("mglu", case)
        return Ledger(case.batch * weights, case.batch * masks, floor.x, floor.y, floor.flops)

    def resident_bytes(self, case: Case) -> int:
        """W (and its padded copy) and masks, whatever the batch."""
        copies = 1 if case.h % ROW_MULTIPLE == 0 else 2
        ledger = self.declare(case)
        return (copies * ledger.weights + ledger.masks) // case.batch

    def prepare(self, problem: Problem) -> Launch:
        """Pack, pad, and run once so that compilation and tuning are over."""
        case, device = problem.case, problem.weight.device
        weight = pad_columns(problem.weight, ROW_MULTIPLE)
        masks = masks_on_device(problem.inputs, case.nm, LAYOUT, device)
        return bind(weight, masks, problem.x, problem.y, case.nm, case.activation)
