"""Launching the Numba CUDA kernels: tensors are handed over without a copy, on torch's current stream.

Weight [d, columns], x [batch, h] and y [batch, d] are of float32, bfloat16 or float16, the latter passed as their bits.
A launch made here has not run yet: Numba compiles a kernel when it is first launched.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mglubench.kernels import numba_cuda_kernels as kernels
from mglubench.kernels.numba_cuda_ir import cuda_module, cuda_primitives
from mglubench.kernels.on_device import dtype_of

if TYPE_CHECKING:
    import torch

# Columns that a block of the split-K kernel sums up, as in flash_mglu_paper.cu.
SPLIT_COLUMNS = 1024

Grid = tuple[int, ...]
Launch = Callable[[], None]


class Bind(Protocol):
    """Makes a launch for buffers that stay where they are."""

    def __call__(
        self, weight: torch.Tensor, masks: torch.Tensor, x: torch.Tensor, y: torch.Tensor, nm: int, activation: str
    ) -> Launch:
        """Weight [d, columns] and masks, uint8 [bytes] in the kernel's layout, x [batch, h], y [batch, d]."""


def naive(
    weight: torch.Tensor, masks: torch.Tensor, x: torch.Tensor, y: torch.Tensor, nm: int, activation: str
) -> Launch:
    """A thread per row; masks uint8 [bytes] in layout ``bytes``."""
    kernel = kernels.naive(_special(weight, nm, activation), cuda_primitives())
    batch, d = y.shape
    grid = (-(-d // kernels.THREADS), batch)
    rows = weight.contiguous()
    return _enqueuer(kernel, grid, (_bits(rows), _byte_masks(masks, weight, nm), _bits(x), _bits(y)), weight.device)


def splitk(
    weight: torch.Tensor, masks: torch.Tensor, x: torch.Tensor, y: torch.Tensor, nm: int, activation: str
) -> Launch:
    """A warp per row and range of columns, sums in atomics, a second kernel for the activation; masks as for naive."""
    import torch

    (batch, d), h, device = y.shape, x.shape[1], weight.device
    special, use = _special(weight, nm, activation), cuda_primitives()
    partial = torch.zeros((batch, 2 * nm, d), device=device)
    operands = (_bits(weight.contiguous()), _byte_masks(masks, weight, nm), _bits(x), partial, SPLIT_COLUMNS)
    grid = (-(-d // kernels.WARPS), -(-h // SPLIT_COLUMNS), batch)
    sums = _enqueuer(kernels.splitk_sums(special, use), grid, operands, device)
    rows = (-(-d // kernels.THREADS), batch)
    activate = _enqueuer(kernels.splitk_activate(special, use), rows, (partial, _bits(y)), device)

    def launch() -> None:
        sums()
        activate()

    return launch


def packed(
    weight: torch.Tensor, masks: torch.Tensor, x: torch.Tensor, y: torch.Tensor, nm: int, activation: str
) -> Launch:
    """A warp per row and chunk of 1024 columns, to which weight is padded; masks in layout ``row-1024``."""
    import torch

    (batch, h), d, device = x.shape, y.shape[1], weight.device
    whole = weight.shape[1] == h and x.data_ptr() % 16 == 0
    padded = x if whole else torch.zeros((batch, weight.shape[1]), dtype=x.dtype, device=device)
    words = [tensor.view(torch.int32).reshape(-1) for tensor in (weight, masks, padded)]
    grid = (-(-d // kernels.WARPS), batch)
    kernel = kernels.packed(_special(weight, nm, activation), cuda_primitives())
    enqueue = _enqueuer(kernel, grid, (*words, _bits(y), h), device)
    if whole:
        return enqueue
    used = padded[:, :h]

    def launch() -> None:
        used.copy_(x)
        enqueue()

    return launch


def _special(weight: torch.Tensor, nm: int, activation: str) -> kernels.Special:
    return kernels.Special(nm, dtype_of(weight), activation)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """16-bit floats as int16, since kernels take their bits; float32 as it is."""
    import torch

    return tensor if tensor.dtype == torch.float32 else tensor.view(torch.int16)


def _byte_masks(masks: torch.Tensor, weight: torch.Tensor, nm: int) -> torch.Tensor:
    """Layout ``bytes`` as [d, h] of uint8, or of int16 for more than eight masks."""
    import torch

    typed = masks if nm <= 8 else masks.view(torch.int16)
    return typed.reshape(weight.shape)


def _enqueuer(
    kernel: Callable[..., None], grid: Grid, arguments: tuple[torch.Tensor | int, ...], device: torch.device
) -> Launch:
    """A function that enqueues ``kernel`` on torch's current stream; tensors are passed without a copy."""
    import torch

    cuda = cuda_module()
    dispatcher = cuda.jit(kernel)
    with torch.cuda.device(device):
        passed = [cuda.as_cuda_array(item) if isinstance(item, torch.Tensor) else item for item in arguments]
    configured: dict[int, Callable[..., None]] = {}

    def on_stream(pointer: int) -> Callable[..., None]:
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
