"""MGLU kernels written in Python, compiled by Numba for the GPU: from the obvious one to a bit-packed one.

Tensors are handed over without a copy and kernels are enqueued on torch's current stream. No variant shares a pass over
W among tokens, so W and the masks are declared once per token.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from mglubench.cases.case import Case
from mglubench.errors import UnavailableError
from mglubench.kernels import numba_cuda_kernels as kernels
from mglubench.kernels.numba_cuda_ir import cuda_module, cuda_primitives
from mglubench.kernels.on_device import masks_on_device, pad_columns, why_no_gpu
from mglubench.layer.declared import Ledger, declare
from mglubench.layer.masks import get_layout, round_up
from mglubench.layer.problem import Problem
from mglubench.variants.base import Launch, Variant

if TYPE_CHECKING:
    import torch

# Columns that a block of the split-K kernel sums up, as in flash_mglu_paper.cu.
SPLIT_COLUMNS = 1024
Grid = tuple[int, ...]


class _NumbaCuda(Variant):
    """Shared: availability, declared bytes, and how a kernel is enqueued."""

    layer = "mglu"
    backend = "numba"
    devices = ("cuda",)
    layout: ClassVar[str] = "bytes"
    column_multiple: ClassVar[int] = 1

    def why_unavailable(self, device: str) -> str | None:
        """Needs a GPU that Numba can drive."""
        reason = super().why_unavailable(device) or why_no_gpu()
        if reason:
            return reason
        return (
            None if cuda_module().is_available() else "numba-cuda cannot use the CUDA driver; install numba-cuda[cu13]"
        )

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
        try:
            launch = self._launch(problem)
            launch()
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UnavailableError(f"numba cannot compile or run the kernel here: {lines[0]}") from error
        return launch

    def _launch(self, problem: Problem) -> Launch:
        raise NotImplementedError


class MGLUNumbaNaive(_NumbaCuda):
    """The first kernel that comes to mind."""

    name = "mglu-numba-naive"
    summary = "Numba: a thread per row, a mask byte per element"

    def _launch(self, problem: Problem) -> Launch:
        case, w, x, y = problem.case, problem.weight.contiguous(), problem.x, problem.y
        kernel = kernels.naive(_special(case), cuda_primitives())
        masks = _byte_masks(problem)
        grid = (-(-case.d // kernels.THREADS), case.batch)
        return _enqueuer(kernel, grid, (_bits(w), masks, _bits(x), _bits(y)), problem.weight.device)


class MGLUNumbaSplitK(_NumbaCuda):
    """The paper's algorithm (arXiv 2506.23225, Algorithms 1 and 3) in Numba."""

    name = "mglu-numba-splitk"
    summary = "Numba: the paper's algorithm, split-K with atomics and a second kernel for the activation"

    def scratch_bytes(self, case: Case) -> int:
        """2 nm fp32 sums per row and token: added to, read, zeroed."""
        return 3 * 2 * case.nm * 4 * case.d * case.batch

    def _launch(self, problem: Problem) -> Launch:
        import torch

        case, device = problem.case, problem.weight.device
        special, use = _special(case), cuda_primitives()
        partial = torch.zeros((case.batch, 2 * case.nm, case.d), device=device)
        w, x, y = _bits(problem.weight.contiguous()), _bits(problem.x), _bits(problem.y)
        masks = _byte_masks(problem)
        grid = (-(-case.d // kernels.WARPS), -(-case.h // SPLIT_COLUMNS), case.batch)
        sums = _enqueuer(kernels.splitk_sums(special, use), grid, (w, masks, x, partial, SPLIT_COLUMNS), device)
        rows = (-(-case.d // kernels.THREADS), case.batch)
        activate = _enqueuer(kernels.splitk_activate(special, use), rows, (partial, y), device)

        def launch() -> None:
            sums()
            activate()

        return launch


class MGLUNumbaPacked(_NumbaCuda):
    """Bit-packed masks, wide loads, warp shuffles, activation fused."""

    name = "mglu-numba-packed"
    summary = "Numba: bit-packed masks, 16-byte loads, warp shuffles, activation in the same kernel"
    layout = "row-1024"
    column_multiple = kernels.CHUNK

    def scratch_bytes(self, case: Case) -> int:
        """A padded copy of x where h is not a multiple of the chunk."""
        columns = round_up(case.h, self.column_multiple)
        return 0 if columns == case.h else 2 * case.batch * columns * case.itemsize

    def _launch(self, problem: Problem) -> Launch:
        import torch

        case, device, x = problem.case, problem.weight.device, problem.x
        w = pad_columns(problem.weight, self.column_multiple)
        masks = masks_on_device(problem, self.layout)
        fits = w.shape[1] == case.h and x.data_ptr() % 16 == 0
        padded = x if fits else torch.zeros((case.batch, w.shape[1]), dtype=x.dtype, device=device)
        words = [tensor.view(torch.int32).reshape(-1) for tensor in (w, masks, padded)]
        grid = (-(-case.d // kernels.WARPS), case.batch)
        kernel = kernels.packed(_special(case), cuda_primitives())
        enqueue = _enqueuer(kernel, grid, (*words, _bits(problem.y), case.h), device)
        if padded is x:
            return enqueue
        used = padded[:, : case.h]

        def launch() -> None:
            used.copy_(x)
            enqueue()

        return launch


def _special(case: Case) -> kernels.Special:
    return kernels.Special(case.nm, case.dtype, case.activation)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """16-bit floats as int16, since kernels take their bits; float32 as it is."""
    import torch

    return tensor if tensor.dtype == torch.float32 else tensor.view(torch.int16)


def _byte_masks(problem: Problem) -> torch.Tensor:
    """Layout ``bytes`` as [d, h] of uint8, or of int16 for more than eight masks."""
    import torch

    flat = masks_on_device(problem, "bytes")
    typed = flat if problem.case.nm <= 8 else flat.view(torch.int16)
    return typed.reshape(problem.case.d, problem.case.h)


def _enqueuer(kernel: Any, grid: Grid, arguments: tuple[Any, ...], device: torch.device) -> Callable[[], None]:
    """A function that enqueues ``kernel`` on torch's current stream; tensors are passed without a copy."""
    import torch

    cuda = cuda_module()
    dispatcher = cuda.jit(kernel)
    with torch.cuda.device(device):
        passed = [cuda.as_cuda_array(item) if isinstance(item, torch.Tensor) else item for item in arguments]
    configured: dict[int, Any] = {}

    def on_stream(pointer: int) -> Any:
        with warnings.catch_warnings():
            # Numba warns of grids that leave multiprocessors idle; small problems do.
            warnings.simplefilter("ignore")
            configured[pointer] = dispatcher[grid, kernels.THREADS, cuda.external_stream(pointer)]
        return configured[pointer]

    def enqueue() -> None:
        with torch.cuda.device(device):
            pointer = torch.cuda.current_stream(device).cuda_stream
            (configured.get(pointer) or on_stream(pointer))(*passed)

    return enqueue
