"""Launching a kernel of ``kernels_cuda/``: the one place where tensors and a shape become its arguments.

:func:`bind` makes a launch for buffers that stay where they are, with a workspace of its own: what a benchmark repeats
and a CUDA graph captures. :func:`enqueue` launches for the tensors at hand, as the operator does: what can be kept
(the library, its launch choice, the workspace of a stream) is kept. Both enqueue on torch's current stream of the
device and do not synchronise. A kernel takes up to 16 tokens; more are slices that follow each other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglubench.cases.vocabulary import SAME
from mglubench.hardware.cuda_toolchain import capability
from mglubench.kernels.cuda_kernel import CudaKernel
from mglubench.kernels.cuda_library import ACTIVATION_CODES, MgluArgs
from mglubench.kernels.cuda_workspace import Workspaces
from mglubench.kernels.on_device import dtype_of, gpu_of
from mglubench.kernels.tuning import Choice, Gpu, recalled
from mglubench.layer.formats.tiles import COLUMNS as TILE_COLUMNS
from mglubench.layer.masks import round_up

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Operands:
    """What a kernel reads beside x, on one device.

    Attributes:
        weight: [d, columns], rows padded to a multiple of 8 elements; of a format, its tiles.
        h: columns before padding. nm: masks, 0 without. masks: uint8 [bytes] in the kernel's layout.
        value: second matrix, padded likewise; of a routed layer the router's weights [batch, nm].
        weights: format of both. rows: d, where W lies in tiles.
    """

    weight: torch.Tensor
    h: int
    nm: int = 0
    masks: torch.Tensor | None = None
    value: torch.Tensor | None = None
    weights: str = SAME
    rows: int = 0

    @property
    def d(self) -> int:
        """Rows of W."""
        return self.rows or self.weight.shape[0]

    @property
    def stored(self) -> str:
        """Format of W, or its dtype."""
        return dtype_of(self.weight) if self.weights == SAME else self.weights

    @property
    def columns(self) -> int:
        """From one row to the next, in elements."""
        return self.weight.shape[1] if self.weights == SAME else round_up(self.h, TILE_COLUMNS)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All that addresses point into."""
        return tuple(tensor for tensor in (self.weight, self.masks, self.value) if tensor is not None)


class CudaCall:
    """A kernel for one number of tokens of one shape on one GPU: choice made, library built, loaded and prepared.

    Args:
        choice: how to launch; the kernel's own choice if left out.

    Raises:
        MglubenchError: the library cannot be built, or its launch choice is not possible here.
    """

    def __init__(
        self, kernel: CudaKernel, operands: Operands, batch: int, gpu: Gpu, choice: Choice | None = None
    ) -> None:
        d, dtype = operands.d, operands.stored
        job = kernel.job(operands.h, d, operands.nm, batch, dtype)
        self.kernel, self.gpu = kernel, gpu
        self.choice = kernel.choose(job, gpu) if choice is None else choice
        self.library = kernel.library(kernel.target(gpu.arch, operands.nm, dtype, self.choice))
        self.library.prepare(MgluArgs(h=operands.h, d=d, nm=operands.nm, batch=batch))

    def arguments(self, operands: Operands, x: torch.Tensor, y: torch.Tensor, activation: str) -> MgluArgs:
        """The C arguments for contiguous x [batch, h] and y [batch, d], but for the workspace."""
        weight, masks, value = operands.weight, operands.masks, operands.value
        return MgluArgs(
            w=weight.data_ptr(),
            w2=None if value is None else value.data_ptr(),
            masks=None if masks is None else masks.data_ptr(),
            x=x.data_ptr(),
            y=y.data_ptr(),
            h=operands.h,
            d=operands.d,
            nm=operands.nm,
            batch=x.shape[0],
            w_row_stride=operands.columns,
            activation=ACTIVATION_CODES[activation],
            split_k=self.choice.split_k,
            sm_count=self.gpu.sm_count,
        )


class BoundKernel:
    """A launch over fixed buffers; what its addresses point into is kept alive here.

    Attributes:
        workspace_bytes: device memory that it holds for partial sums.
    """

    def __init__(self, call: CudaCall, operands: Operands, x: torch.Tensor, y: torch.Tensor, activation: str) -> None:
        import torch

        self._launch, self._device = call.library.launch, x.device
        self._guard, self._current = torch.cuda.device, torch.cuda.current_stream
        self._args = call.arguments(operands, x, y, activation)
        self.workspace_bytes = call.library.workspace_bytes(self._args)
        with self._guard(self._device):
            # Zeroed once: every launch leaves the workspace as it found it.
            self._workspace = torch.zeros(self.workspace_bytes, dtype=torch.uint8, device=self._device)
        self._args.workspace = self._workspace.data_ptr() or None
        self._kept = (*operands.tensors, x, y)

    def __call__(self) -> None:
        """Enqueue on torch's current stream of the device."""
        with self._guard(self._device):
            self._launch(self._args, self._current(self._device).cuda_stream)


def bind(kernel: CudaKernel, operands: Operands, x: torch.Tensor, y: torch.Tensor, activation: str) -> BoundKernel:
    """A launch of ``kernel`` that reads x [batch, h] and writes y [batch, d]; at most ``kernel.tokens_max`` tokens.

    Raises:
        MglubenchError: the library cannot be built or prepared.
    """
    import torch

    with torch.cuda.device(x.device):
        call = CudaCall(kernel, operands, x.shape[0], gpu_of(x.device))
    return BoundKernel(call, operands, x, y, activation)


def enqueue(
    kernels: Sequence[CudaKernel], operands: Operands, x: torch.Tensor, y: torch.Tensor, activation: str
) -> None:
    """Launch the best of ``kernels``, which read one mask layout, for contiguous x [tokens, h] and y [tokens, d].

    Raises:
        MglubenchError: the library cannot be built, prepared or launched.
    """
    import torch

    with torch.cuda.device(x.device):
        stream = torch.cuda.current_stream(x.device).cuda_stream
        for part in slices(x.shape[0], kernels[0].tokens_max):
            call = _READY.call(kernels, operands, x[part])
            args = call.arguments(operands, x[part], y[part], activation)
            workspace = _WORKSPACES.of(call, call.library.workspace_bytes(args), x.device, stream)
            args.workspace = None if workspace is None else workspace.data_ptr()
            call.library.launch(args, stream)


def slices(tokens: int, most: int) -> Iterator[slice]:
    """Ranges of at most ``most`` tokens."""
    for start in range(0, tokens, most):
        yield slice(start, min(start + most, tokens))


def best_of(
    kernels: Sequence[CudaKernel], h: int, d: int, nm: int, batch: int, dtype: str, gpu: Gpu
) -> tuple[CudaKernel, Choice]:
    """The kernel that was fastest when this shape was tuned on this GPU, with its choice; untuned, the first's rule.

    Raises:
        UsageError: the tuning table is damaged.
    """
    able = [
        kernel
        for kernel in kernels
        if capability(gpu.arch) >= kernel.oldest_for(dtype) and nm in kernel.nms and kernel.takes(dtype)
    ]
    jobs = [(kernel, kernel.job(h, d, nm, batch, dtype)) for kernel in able]
    found = [(result, kernel) for kernel, job in jobs if (result := recalled(gpu.name, job))]
    if found:
        result, kernel = min(found, key=lambda pair: pair[0].median_ns)
        return kernel, result.choice
    kernel, job = jobs[0]
    return kernel, kernel.rule(job, gpu)


class _Ready:
    """Calls that have been made once, by device, kernels and shape."""

    def __init__(self) -> None:
        self._calls: dict[tuple[object, ...], CudaCall] = {}
        self._lock = threading.Lock()

    def call(self, kernels: Sequence[CudaKernel], operands: Operands, x: torch.Tensor) -> CudaCall:
        """The call for these tokens; made at the first time, when the tuning table is read."""
        batch, d, dtype = x.shape[0], operands.d, operands.stored
        key = (x.device, kernels[0], operands.h, d, operands.nm, batch, dtype)
        if (found := self._calls.get(key)) is not None:
            return found
        with self._lock:
            if key not in self._calls:
                gpu = gpu_of(x.device)
                kernel, choice = best_of(kernels, operands.h, d, operands.nm, batch, dtype, gpu)
                self._calls[key] = CudaCall(kernel, operands, batch, gpu, choice)
            return self._calls[key]

    def clear(self) -> None:
        """Forget them, so that the tuning table is read anew."""
        self._calls.clear()


_READY = _Ready()
_WORKSPACES = Workspaces()


def forget() -> None:
    """Drop all that :func:`enqueue` keeps: launch choices are looked up anew, workspaces are given back."""
    _READY.clear()
    _WORKSPACES.clear()
