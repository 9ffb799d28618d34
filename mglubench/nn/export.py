"""From layers that were trained to layers that serve: ``export_packed``. Importing this module imports torch."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mglubench.cases.vocabulary import SAME, weights_name
from mglubench.errors import UsageError
from mglubench.nn.mask_planes import to_planes
from mglubench.nn.packed import PackedMGLU
from mglubench.nn.swimglu import MGLU


def export_packed(module: nn.Module, weights: str = SAME) -> nn.Module:
    """A module in which every :class:`MGLU` is a :class:`PackedMGLU`; the given one stays as it is.

    Everything but the masks is shared with the given module, weights too: no matrix is copied. What is trained later
    changes the exported weights with it but not their masks, so export again after training.

    Args:
        module: an MGLU, or a model that holds some. weights: format to quantise the MGLUs' weights to, such as
            ``int8``; those are copies then, and what is trained later does not change them.

    Returns:
        A :class:`PackedMGLU`, or a model of the same classes.

    Raises:
        UsageError: no MGLU in it, or one whose masks do not apply to both gate and value, or one that is routed and is
            to be quantised.
    """
    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, MGLU)]
    if not layers:
        raise UsageError(f"{type(module).__name__} holds no MGLU layer, so there is nothing to export")
    for name, layer in layers:
        if reason := why_not_exported(layer):
            raise UsageError(f"{name or type(layer).__name__} cannot be exported: {reason}")
    return _exported(module, {}, weights_name(weights))


def why_not_exported(layer: MGLU) -> str | None:
    """Why no packed layer computes what ``layer`` does; ``None`` if one does."""
    if layer.masked != "both":
        return f"masked={layer.masked!r}, and the kernels mask both gate and value"
    if layer.weight.is_meta:
        return "its weights are on the meta device; load them first"
    return None


def _exported(module: nn.Module, done: dict[int, nn.Module], weights: str) -> nn.Module:
    """The module itself if there is no MGLU below it, else a copy of it alone, over exported children."""
    if id(module) not in done:
        if isinstance(module, MGLU):
            done[id(module)] = packed_layer(module, weights)
        else:
            children = {name: _exported(child, done, weights) for name, child in module.named_children()}
            same = all(child is module.get_submodule(name) for name, child in children.items())
            done[id(module)] = module if same else _with_children(module, children)
    return done[id(module)]


def _with_children(module: nn.Module, children: dict[str, nn.Module]) -> nn.Module:
    twin = copy.copy(module)
    for part in ("_parameters", "_buffers", "_modules"):
        setattr(twin, part, dict(getattr(module, part)))
    for name, child in children.items():
        twin.add_module(name, child)
    return twin


@torch.no_grad()
def packed_layer(layer: MGLU, weights: str = SAME) -> PackedMGLU:
    """The packed form of one layer, whose weight it shares unless it is quantised."""
    new = PackedMGLU(
        layer.h,
        layer.d,
        layer.nm,
        activation=layer.activation,
        top_k=layer.top_k,
        router=layer.order,
        weights=weights,
        device="meta",
    )
    weight = layer.weight.detach()
    if new.format is not None:
        weight = new.format.cpu_rows(new.format.quantise(weight.cpu())).to(weight.device)
    new.weight = weight
    new.mask_planes = to_planes(layer.hard_masks())
    if layer.router is not None:
        new.router_weight = layer.router.weight.detach()
    return new.eval()
