"""Masks as they are stored and sent: one bit an element, a plane a mask, the same on every device.

``planes[i, row, b]`` is a byte whose bit ``j`` is mask ``i`` at column ``8 b + j``; bits beyond h are 0. The layouts of
the kernels (:mod:`mglubench.layer.masks`) are derived from it. Importing this module imports torch.
"""

from __future__ import annotations

import numpy as np
import torch

from mglubench.errors import UsageError


def to_planes(masks: torch.Tensor) -> torch.Tensor:
    """Booleans [nm, d, h] to uint8 [nm, d, ceil(h / 8)], on the same device.

    Raises:
        UsageError: masks that are no booleans of that shape.
    """
    if masks.ndim != 3 or masks.dtype != torch.bool:
        raise UsageError(f"masks must be boolean [nm, d, h], got {masks.dtype} {list(masks.shape)}")
    packed = np.packbits(masks.detach().cpu().numpy(), axis=-1, bitorder="little")
    return torch.from_numpy(packed).to(masks.device)


def from_planes(planes: torch.Tensor, h: int) -> torch.Tensor:
    """uint8 [nm, d, ceil(h / 8)] to booleans [nm, d, h], on the same device.

    Raises:
        UsageError: planes that are no bytes of that shape.
    """
    if planes.ndim != 3 or planes.dtype != torch.uint8 or planes.shape[-1] != -(-h // 8):
        wanted = f"uint8 [nm, d, {-(-h // 8)}] for h={h}"
        raise UsageError(f"mask planes must be {wanted}, got {planes.dtype} {list(planes.shape)}")
    bits = np.unpackbits(planes.detach().cpu().numpy(), axis=-1, count=h, bitorder="little")
    return torch.from_numpy(bits.view(np.bool_)).to(planes.device)


def masked_weight(weight: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    """``weight`` [d, h] where the bit of ``plane`` [d, ceil(h / 8)] is set, 0 elsewhere; an operator to compilers."""
    chosen: torch.Tensor = _operator(weight, plane)
    return chosen


def _on_cpu(weight: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    bits = np.unpackbits(plane.numpy(), axis=-1, count=weight.shape[1], bitorder="little")
    return torch.from_numpy(bits).to(weight.dtype).mul_(weight)


def _elsewhere(weight: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    bits = plane[..., None] >> torch.arange(8, dtype=torch.uint8, device=plane.device) & 1
    return bits.flatten(-2)[:, : weight.shape[1]].to(weight.dtype).mul_(weight)


def _fake(weight: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(weight)


_NAME = "mglubench::masked_weight"
torch.library.define(_NAME, "(Tensor weight, Tensor plane) -> Tensor")
torch.library.impl(_NAME, "cpu", _on_cpu)
torch.library.impl(_NAME, "cuda", _elsewhere)
torch.library.register_fake(_NAME, _fake)
_operator = torch.ops.mglubench.masked_weight.default
