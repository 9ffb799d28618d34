"""Launching the Triton kernel: tuned on the GPU at hand by Triton itself, enqueued on torch's current stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from mglubench.errors import UnavailableError

if TYPE_CHECKING:
    import torch

LAYOUT = "row-1024"
ROW_MULTIPLE = 16  # elements; Triton then knows that every row starts on a 16-byte boundary


class TritonKernel(Protocol):
    """A jitted or autotuned kernel: a grid gives the function that launches it."""

    def __getitem__(self, grid: Callable[[dict[str, int]], tuple[int, int]]) -> Callable[..., object]:
        """The launcher."""


def bind(
    weight: torch.Tensor, masks: torch.Tensor, x: torch.Tensor, y: torch.Tensor, nm: int, activation: str
) -> Callable[[], None]:
    """A launch that reads x [batch, h] and writes y [batch, d]; it has run once, so compilation and tuning are over.

    Args:
        weight: [d, stride], rows padded to a multiple of 16. masks: uint8 [bytes] in layout ``row-1024``.

    Raises:
        UnavailableError: Triton cannot compile or run the kernel here.
    """
    import torch

    words, device = masks.view(torch.int32), weight.device

    def launch() -> None:
        with torch.cuda.device(device):
            enqueue(_tuned(), weight, words, x, y, nm, activation)

    try:
        launch()
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UnavailableError(f"triton cannot compile or run the kernel here: {lines[0]}") from error
    return launch


def enqueue(
    kernel: TritonKernel,
    weight: torch.Tensor,
    masks: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    nm: int,
    activation: str,
    **constants: int,
) -> None:
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
def _tuned() -> TritonKernel:
    import triton

    from mglubench.kernels.triton_source import configurations, flash_mglu

    tuned: TritonKernel = triton.autotune(configurations(), key=["h", "d", "NM", "ACTIVATION"])(flash_mglu)
    return tuned
