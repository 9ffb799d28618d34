"""What every module of this room asks of its sizes and of what it is called with; a misfit is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.cases.vocabulary import NM_MAX
from mglubench.errors import UsageError

if TYPE_CHECKING:
    import torch


def positive(name: str, value: int) -> int:
    """``value`` if it is a whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} must be a whole number from 1 on, got {value!r}")
    return value


def check_nm(nm: int) -> int:
    """``nm`` if a layer may have so many masks."""
    if positive("nm", nm) > NM_MAX:
        raise UsageError(f"nm must be 1 to {NM_MAX}, got {nm}")
    return nm


def check_shape(x: torch.Tensor, weight: torch.Tensor, h: int) -> None:
    """Raise a :class:`UsageError` unless x is [..., h] and on the weight's device."""
    if x.ndim == 0 or x.shape[-1] != h:
        raise UsageError(f"x must be [..., {h}], got {list(x.shape)}")
    if x.device != weight.device:
        raise UsageError(f"x is on {x.device}, the layer on {weight.device}; move one of them")


def check_operand(x: torch.Tensor, weight: torch.Tensor, h: int) -> None:
    """As :func:`check_shape`, and of the weight's dtype."""
    check_shape(x, weight, h)
    if x.dtype != weight.dtype:
        raise UsageError(f"x is {x.dtype}, the layer {weight.dtype}; convert one of them")
