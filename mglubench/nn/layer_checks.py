"""What every module of this room asks of its sizes and of what it is called with; a misfit is one line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mglubench.cases.vocabulary import NM_MAX
from mglubench.errors import UsageError


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


def not_negative(name: str, value: float) -> float:
    """``value`` if it is a finite number from 0 on."""
    try:
        fits = 0 <= value < math.inf
    except TypeError:
        fits = False
    if not fits:
        raise UsageError(f"{name} must be a finite number from 0 on, got {value!r}")
    return value


def check_place(device: torch.device | str | int | None, dtype: torch.dtype | None, among: Sequence[str]) -> None:
    """Raise a :class:`UsageError` unless a layer of a dtype, named as torch does, can be made on a device.

    Args:
        among: what a layer may be of.
    """
    if dtype is not None and str(dtype) not in (f"torch.{name}" for name in among):
        raise UsageError(
            f"a layer's dtype is a floating-point one such as float32 or bfloat16, got {dtype!r}; "
            f"known: {', '.join(f'torch.{name}' for name in among)}"
        )
    if device is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0].partition(" device type at start")[0]
        raise UsageError(f"no layer can be made on device {device!r} ({reason}); use cpu or a GPU here") from None


def check_shape(x: torch.Tensor, weight: torch.Tensor, h: int) -> None:
    """Raise a :class:`UsageError` unless x is [..., h] and on the weight's device."""
    if not isinstance(x, torch.Tensor) or x.layout is not torch.strided:
        kind = str(x.layout) if isinstance(x, torch.Tensor) else type(x).__name__
        raise UsageError(f"x must be a dense tensor [..., {h}], got {kind}")
    if x.ndim == 0 or x.shape[-1] != h:
        raise UsageError(f"x must be [..., {h}], got {list(x.shape)}")
    if x.device != weight.device:
        raise UsageError(f"x is on {x.device}, the layer on {weight.device}; move one of them")


def check_operand(x: torch.Tensor, weight: torch.Tensor, h: int) -> None:
    """As :func:`check_shape`, and of the weight's dtype."""
    check_shape(x, weight, h)
    if x.dtype != weight.dtype:
        raise UsageError(f"x is {x.dtype}, the layer {weight.dtype}; convert one of them")
