"""``flash-mglu-triton``: bit-packed masks in one pass over W, written in Triton and autotuned on the GPU at hand."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

from mglubench.cases.case import Case
from mglubench.errors import UnavailableError
from mglubench.kernels.on_device import masks_on_device, pad_columns, why_no_gpu
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

LAYOUT = "row-1024"
ROW_MULTIPLE = 16  # elements; Triton then knows that every row starts on a 16-byte boundary


class FlashMGLUTriton(Variant):
    """Masks are read as 32-bit words and tested by shifts; sums are fp32 on CUDA cores."""

    name = "flash-mglu-triton"
    summary = "Triton: bit-packed masks, one pass, fp32 sums, autotuned"
    layer = "mglu"
    backend = "triton"
    devices = ("cuda",)

    def why_unavailable(self, device: str) -> str | None:
        """Needs a GPU and the triton package."""
        reason = super().why_unavailable(device) or why_no_gpu(80)
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
        import torch

        case, x, y, device = problem.case, problem.x, problem.y, problem.weight.device
        weight = pad_columns(problem.weight, ROW_MULTIPLE)
        masks = masks_on_device(problem, LAYOUT).view(torch.int32)

        def launch() -> None:
            with torch.cuda.device(device):
                enqueue(_tuned(), weight, masks, x, y, case.nm, case.activation)

        try:
            launch()
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UnavailableError(f"triton cannot compile or run the kernel here: {lines[0]}") from error
        return launch


def enqueue(kernel: Any, weight: Any, masks: Any, x: Any, y: Any, nm: int, activation: str, **constants: int) -> None:
    """Launch ``kernel`` for weight [d, stride], masks int32 [words], x [batch, h], y [batch, d].

    Args:
        constants: tuning constants (ROWS, STAGES) of a kernel that is not autotuned.
    """
    batch, h = x.shape
    d = y.shape[1]
    kernel[lambda chosen: (-(-d // chosen["ROWS"]), batch)](
        weight,
        masks,
        x,
        y,
        h,
        d,
        weight.stride(0),
        NM=nm,
        MASKS=1 << (nm - 1).bit_length(),
        ACTIVATION=activation,
        WHOLE=h % 1024 == 0,
        **constants,
    )


@cache
def _tuned() -> Any:
    import triton

    from mglubench.kernels.triton_source import configurations, flash_mglu

    return triton.autotune(configurations(), key=["h", "d", "NM", "ACTIVATION"])(flash_mglu)
