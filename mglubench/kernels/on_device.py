"""What every CUDA-only variant needs: whether there is a GPU, which one, and packed masks and padded rows on it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mglubench.hardware.cuda_toolchain import architecture_of
from mglubench.kernels.cuda_heuristics import Gpu
from mglubench.layer.masks import pack, round_up
from mglubench.layer.problem import InputSet, Problem

if TYPE_CHECKING:
    import torch

# The packed masks last made for an input set: replicas of one layer follow each other and share them.
_packed: WeakKeyDictionary[InputSet, tuple[tuple[str, int], torch.Tensor]] = WeakKeyDictionary()


def why_no_gpu(oldest: int = 0) -> str | None:
    """Why no GPU of compute capability ``oldest / 10`` can be used; ``None`` if the first one here can."""
    import torch

    if not torch.cuda.is_available():
        return "no CUDA GPU can be used here"
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
    import torch

    properties = torch.cuda.get_device_properties(index)
    arch = architecture_of(properties.major, properties.minor)
    return Gpu(properties.name, arch, properties.multi_processor_count)


def masks_on_device(problem: Problem, layout: str) -> torch.Tensor:
    """The problem's masks in ``layout``, uint8 [bytes], on its device."""
    import torch

    wanted = (layout, problem.case.nm)
    found = _packed.get(problem.inputs)
    if found is None or found[0] != wanted:
        found = (wanted, torch.from_numpy(pack(problem.masks(), layout).data))
        _packed[problem.inputs] = found
    return found[1].to(problem.case.device)


def pad_columns(weight: torch.Tensor, multiple: int) -> torch.Tensor:
    """``weight`` [d, h] with rows of a multiple of ``multiple`` elements, itself where that is so already."""
    import torch

    columns = round_up(weight.shape[1], multiple)
    if columns == weight.shape[1]:
        return weight.contiguous()
    return torch.nn.functional.pad(weight, (0, columns - weight.shape[1])).contiguous()
