"""What every kernel on a device needs: whether there is a GPU, which one, packed masks and padded rows on it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from mglubench.hardware.environment import cuda_device
from mglubench.kernels.tuning import Gpu
from mglubench.layer.masks import BoolArray, pack, round_up

if TYPE_CHECKING:
    import torch


class MaskSource(Protocol):
    """Who has the masks of a layer, such as an input set."""

    def masks(self, nm: int) -> BoolArray:
        """The first nm of them, [nm, d, h]."""


# The packed masks last made for a source: replicas of one layer follow each other and share them.
_packed: WeakKeyDictionary[MaskSource, tuple[tuple[str, int], torch.Tensor]] = WeakKeyDictionary()


def why_no_gpu(oldest: int = 0, *, nvidia: bool = True) -> str | None:
    """Why no GPU of compute capability ``oldest / 10`` can be used; ``None`` if the first one here can.

    Args:
        nvidia: whether it has to be one of NVIDIA's; torch built for ROCm calls AMD's ``cuda`` as well.
    """
    import torch

    if not torch.cuda.is_available():
        return "no CUDA GPU can be used here"
    if torch.version.hip:
        return "needs an NVIDIA GPU, this torch is built for ROCm" if nvidia else None
    return why_too_old(oldest)


def why_too_old(oldest: int) -> str | None:
    """Why the first NVIDIA GPU here is not of compute capability ``oldest / 10``; ``None`` without a GPU as well."""
    import torch

    if not torch.cuda.is_available() or torch.version.hip:
        return None
    major, minor = torch.cuda.get_device_capability()
    if 10 * major + minor < oldest:
        return f"needs compute capability {oldest / 10:.1f} or newer, this GPU has {major}.{minor}"
    return None


def gpu_of(device: torch.device | str) -> Gpu:
    """The GPU behind a CUDA device."""
    import torch

    resolved = torch.device(device)
    return _gpu(resolved.index if resolved.index is not None else torch.cuda.current_device())


@cache
def _gpu(index: int) -> Gpu:
    found = cuda_device(index)
    assert found.architecture
    assert found.sm_count
    return Gpu(found.name, found.architecture, found.sm_count)


def masks_on_device(source: MaskSource, nm: int, layout: str, device: torch.device | str) -> torch.Tensor:
    """The first nm masks of ``source`` in ``layout``, uint8 [bytes], on ``device``: packed once, copied per caller.

    Replicas of a layer must not share them, or one would warm the caches for the next.
    """
    import torch

    wanted = (layout, nm)
    found = _packed.get(source)
    if found is None or found[0] != wanted:
        found = (wanted, torch.from_numpy(pack(source.masks(nm), layout).data))
        _packed[source] = found
    return found[1].to(device, copy=True)


def pad_columns(weight: torch.Tensor, multiple: int) -> torch.Tensor:
    """``weight`` [d, h] with rows of a multiple of ``multiple`` elements, itself where that is so already."""
    import torch

    columns = round_up(weight.shape[1], multiple)
    if columns == weight.shape[1]:
        return weight.contiguous()
    return torch.nn.functional.pad(weight, (0, columns - weight.shape[1])).contiguous()


def dtype_of(tensor: torch.Tensor) -> str:
    """``float16`` for ``torch.float16``."""
    return str(tensor.dtype).removeprefix("torch.")
