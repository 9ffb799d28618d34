"""Which MLPs of transformers can be exchanged: exact types, what must hold of an instance, and a bit-exact probe.

No import of transformers: a type is known by its qualified name. Importing this module imports torch.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import nn

from mglubench.nn.gated_sum import ACTIVATION

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3", "granite", "olmo2", "smollm3", "gemma", "gemma2", "gemma3")
_NAMES = {"smollm3": "SmolLM3", "olmo2": "Olmo2"}
# By the qualified name of their class; they compute down_proj(act_fn(gate_proj(x)) * up_proj(x)).
KNOWN = frozenset(
    f"transformers.models.{name}.modeling_{name}.{_NAMES.get(name, name.capitalize())}MLP" for name in ARCHITECTURES
)
PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
# By the name of the activation's class.
ACTIVATIONS = {
    "SiLUActivation": "silu",
    "SiLU": "silu",
    "Swish": "silu",
    "GELUActivation": "gelu",
    "GELU": "gelu",
    "ReLU": "relu",
}
_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
_HOOKS_OF_WEIGHT = ("_backward_hooks", "_post_accumulate_grad_hooks")


class Dense(NamedTuple):
    """The parts of a gated MLP, and the name of its activation."""

    gate: nn.Linear
    up: nn.Linear
    down: nn.Linear
    activation: str


def is_candidate(module: nn.Module) -> bool:
    """Whether a module is, or looks like, the MLP of a transformer's layer."""
    children = {name for name, _ in module.named_children()}
    return (
        qualified_name(module) in KNOWN or type(module).__name__.endswith("MLP") or {"gate_proj", "up_proj"} <= children
    )


def qualified_name(module: nn.Module) -> str:
    """``package.module.Class``."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def parts_of(module: nn.Module) -> Dense:
    """The parts of a module for which :func:`why_not_swapped` has no reason."""
    gate, up, down = (cast("nn.Linear", getattr(module, name)) for name in PROJECTIONS)
    return Dense(gate, up, down, ACTIVATIONS[type(module.act_fn).__name__])


def why_model_refused(model: nn.Module) -> str | None:
    """Why no MLP of a model can be exchanged; ``None`` if they can be looked at one by one."""
    config = getattr(model, "config", None)
    if getattr(model, "hf_quantizer", None) is not None or getattr(config, "quantization_config", None) is not None:
        return "it is quantised; load it without quantization"
    if getattr(model, "_tp_size", None) or getattr(model, "tp_size", None):
        return "it is tensor-parallel; load it without tp_plan"
    return None


def why_not_swapped(module: nn.Module, *, probe: bool = True) -> str | None:
    """Why an MLP cannot be exchanged; ``None`` if it is known and computes what its type is known to compute.

    Args:
        probe: whether to run it; a module on the meta device cannot be.
    """
    if qualified_name(module) not in KNOWN:
        if hasattr(module, "gate_up_proj"):
            return "its gate and up projections are one matrix, gate_up_proj"
        return f"its type {qualified_name(module)} is not registered"
    return _why_parts_differ(module) or _why_changed(module) or (_why_not_gated(module) if probe else None)


def _why_parts_differ(module: nn.Module) -> str | None:
    for name in PROJECTIONS:
        linear = getattr(module, name, None)
        if type(linear) is not nn.Linear:
            return f"{name} is {type(linear).__name__}, not torch.nn.Linear"
        weight = cast("object", linear.weight)
        if type(weight) is not nn.Parameter:
            return f"the weight of {name} is a {type(weight).__name__}, not a plain parameter"
        if cast("object", linear.bias) is not None:
            return f"{name} has a bias"
        if not linear.weight.dtype.is_floating_point:
            return f"{name} is of {linear.weight.dtype}"
    act = getattr(module, "act_fn", None)
    tanh = getattr(act, "approximate", "none") != "none"
    if type(act).__name__ not in ACTIVATIONS or tanh:
        known = ", ".join(ACTIVATION)
        return f"its activation {type(act).__name__}{' (tanh)' if tanh else ''} is not among {known} (exact)"
    return None


def _why_changed(module: nn.Module) -> str | None:
    for name, part in (("it", module), *((name, getattr(module, name)) for name in (*PROJECTIONS, "act_fn"))):
        if hasattr(part, "_hf_hook"):
            return f"{name} has a hook of accelerate (device_map); load the model on one device"
        if "forward" in vars(part):
            return f"the forward of {name} is patched on the instance"
        if getattr(part, "_compiled_call_impl", None) is not None:
            return f"{name} is compiled; swap first and compile then"
        if any(getattr(part, hooks, None) for hooks in _HOOKS):
            return f"{name} has hooks"
        if any(getattr(getattr(part, "weight", None), hooks, None) for hooks in _HOOKS_OF_WEIGHT):
            return f"the weight of {name} has hooks"
    gate, up, down = (getattr(module, name).weight for name in PROJECTIONS)
    if gate is up:
        return "its gate and up projections are one parameter"
    if gate.shape != up.shape or down.shape != gate.shape[::-1]:
        return f"its shapes {list(gate.shape)}, {list(up.shape)}, {list(down.shape)} are not [d, h], [d, h], [h, d]"
    if len({(weight.device, weight.dtype) for weight in (gate, up, down)}) > 1:
        return "its projections are of several devices or dtypes"
    return None


@torch.no_grad()
def _why_not_gated(module: nn.Module) -> str | None:
    gate, up, down, _ = parts_of(module)
    if gate.weight.is_meta:
        return "its weights are on the meta device; load them first"
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((3, gate.in_features), generator=generator).to(gate.weight)
    act = cast("nn.Module", module.act_fn)
    if not torch.equal(module(x), down(act(gate(x)) * up(x))):
        return "its output is not down_proj(act_fn(gate_proj(x)) * up_proj(x)), bit by bit"
    return None
