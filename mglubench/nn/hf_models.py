"""Llama, Mistral, Qwen3 and Granite with masked MLPs, as model types of their own: ``mglu_llama`` and so on.

Importing this module registers them, so that ``AutoModelForCausalLM.from_pretrained`` reads their checkpoints; without
it transformers refuses the unknown type. ``config.mglu`` says what the MLPs are, :class:`MaskedParts`. Needs the extra
``hf``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypedDict, cast

import torch
from torch import nn

from mglubench.errors import UnavailableError, UsageError
from mglubench.nn.export import export_packed
from mglubench.nn.hf_registry import is_candidate, parts_of, why_not_swapped
from mglubench.nn.hf_starts import MaskedMLP, SwapConfig
from mglubench.nn.hf_swap import FilterFn, swap_mlps
from mglubench.nn.packed import PackedMGLU
from mglubench.nn.swimglu import MGLU

try:
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        GraniteConfig,
        GraniteForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
        PreTrainedModel,
        Qwen3Config,
        Qwen3ForCausalLM,
    )
except ImportError as error:
    raise UnavailableError(
        f"mglubench.nn.hf_models needs transformers ({error}); pip install 'mglubench[hf]'"
    ) from None

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FORMS = ("training", "packed")


class MaskedParts(TypedDict):
    """What ``config.mglu`` holds: form, ``training`` or ``packed``, and what :class:`mglubench.nn.MGLU` is given."""

    form: str
    nm: int
    top_k: int | None
    router: str


class MgluLlamaConfig(LlamaConfig):
    """A Llama's, and ``mglu``."""

    model_type = "mglu_llama"
    mglu: dict | None = None  # type: ignore[type-arg]


class MgluMistralConfig(MistralConfig):
    """A Mistral's, and ``mglu``."""

    model_type = "mglu_mistral"
    mglu: dict | None = None  # type: ignore[type-arg]


class MgluQwen3Config(Qwen3Config):
    """A Qwen3's, and ``mglu``."""

    model_type = "mglu_qwen3"
    mglu: dict | None = None  # type: ignore[type-arg]


class MgluGraniteConfig(GraniteConfig):
    """A Granite's, and ``mglu``."""

    model_type = "mglu_granite"
    mglu: dict | None = None  # type: ignore[type-arg]


class _Masked:
    """What the classes below add to a model: its MLPs are exchanged as it is made, and missing keys are an error."""

    # A half-precision logit near 0 would lose its sign.
    _keep_in_fp32_modules_strict = ("mglu.masks",)

    def __init__(self, config: PreTrainedConfig, *given: object, **named: object) -> None:
        parts = _parts(config)
        super().__init__(config, *given, **named)  # type: ignore[call-arg]
        model = cast("nn.Module", self)
        _exchange_all(model, parts)
        for module in model.modules():
            if isinstance(module, MGLU) and not module.weight.is_meta:
                self._init_weights(module)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, MGLU):
            nn.init.normal_(module.weight, std=getattr(self.config, "initializer_range", 0.02))  # type: ignore[attr-defined]
        super()._init_weights(module)  # type: ignore[misc]

    @classmethod
    def from_pretrained(cls, *given: object, output_loading_info: bool = False, **named: object) -> object:
        """As in transformers, but a checkpoint that lacks a key, or has one too many, is refused.

        Raises:
            UsageError: naming the first such key.
        """
        model, info = super().from_pretrained(*given, output_loading_info=True, **named)  # type: ignore[misc]
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if keys := sorted(map(str, info.get(what) or ())):
                words = f"{len(keys)} {what.replace('_', ' ')}, first {keys[0]}"
                raise UsageError(
                    f"the checkpoint does not fit {cls.__name__}: {words}; nothing is filled in by guessing"
                )
        return (model, info) if output_loading_info else model


class MgluLlamaForCausalLM(_Masked, LlamaForCausalLM):
    """A Llama with masked MLPs."""

    config_class = MgluLlamaConfig


class MgluMistralForCausalLM(_Masked, MistralForCausalLM):
    """A Mistral with masked MLPs."""

    config_class = MgluMistralConfig


class MgluQwen3ForCausalLM(_Masked, Qwen3ForCausalLM):
    """A Qwen3 with masked MLPs."""

    config_class = MgluQwen3Config


class MgluGraniteForCausalLM(_Masked, GraniteForCausalLM):
    """A Granite with masked MLPs."""

    config_class = MgluGraniteConfig


CLASSES: dict[str, type[PreTrainedModel]] = {
    "llama": MgluLlamaForCausalLM,
    "mistral": MgluMistralForCausalLM,
    "qwen3": MgluQwen3ForCausalLM,
    "granite": MgluGraniteForCausalLM,
}
for _class in CLASSES.values():
    AutoConfig.register(_class.config_class.model_type, _class.config_class, exist_ok=True)
    AutoModelForCausalLM.register(_class.config_class, _class, exist_ok=True)


def masked_model(model: PreTrainedModel, config: SwapConfig, filter_fn: FilterFn | None = None) -> PreTrainedModel:
    """A model of the ``mglu_`` type of a dense one, to train, started as ``config`` says; the dense one stays as it is.

    Raises:
        UsageError: an architecture without such a type, a stand-in, a filter that leaves some out, or what
            :func:`mglubench.nn.hf_swap.swap_mlps` refuses.
    """
    kind = model.config.model_type
    if kind not in CLASSES:
        raise UsageError(f"no mglu type for model type {kind!r}; there is one for {', '.join(CLASSES)}")
    if config.mode == "stand-in":
        raise UsageError("a stand-in is for timing, not to be trained; use swap_mlps, or mode fresh, larger or sum")
    if filter_fn is not None:
        raise UsageError("a model of an mglu type masks every MLP; use swap_mlps to exchange some of them")
    report = swap_mlps(model, config)
    try:
        state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    finally:
        report.undo()
    parts: MaskedParts = {"form": "training", "nm": config.nm, "top_k": config.top_k, "router": config.router}
    return _of(kind, model, parts, state)


def packed_model(model: PreTrainedModel) -> PreTrainedModel:
    """The packed form of a model of an ``mglu_`` type, for inference.

    Raises:
        UsageError: a model of another type, or one that is packed.
    """
    kind = model.config.model_type.removeprefix("mglu_")
    if not issubclass(type(model), _Masked) or _parts(model.config)["form"] == "packed":
        raise UsageError(f"{type(model).__name__} is no mglu model in training form, so there is nothing to pack")
    parts: MaskedParts = {**_parts(model.config), "form": "packed"}
    return _of(kind, model, parts, export_packed(model).state_dict()).eval()


def _of(kind: str, like: PreTrainedModel, parts: MaskedParts, state: dict[str, torch.Tensor]) -> PreTrainedModel:
    model_class = CLASSES[kind]
    given = {k: v for k, v in like.config.to_dict().items() if k not in ("model_type", "architectures", "mglu")}
    config = model_class.config_class(**given, mglu=dict(parts))
    made = model_class(config).to(like.device)
    made.load_state_dict(state, assign=True)
    made.tie_weights()
    made.generation_config = copy.deepcopy(like.generation_config)
    return made.train(like.training)


def _parts(config: PreTrainedConfig) -> MaskedParts:
    parts = config.mglu
    if not isinstance(parts, dict) or parts.get("form") not in FORMS or "nm" not in parts:
        raise UsageError(f"config.mglu must say form ({' or '.join(FORMS)}) and nm, got {parts!r}")
    whole: MaskedParts = {
        "form": parts["form"],
        "nm": parts["nm"],
        "top_k": parts.get("top_k"),
        "router": parts.get("router", "topk-then-softmax"),
    }
    return whole


def _exchange_all(model: nn.Module, parts: MaskedParts) -> None:
    """Exchange every MLP of a model that was just made, on whatever device, meta too."""
    for name, module in list(model.named_modules()):
        if not is_candidate(module):
            continue
        if reason := why_not_swapped(module, probe=False):
            raise UsageError(f"{name}: {reason}")
        dense = parts_of(module)
        d, h = dense.gate.weight.shape
        kind = PackedMGLU if parts["form"] == "packed" else _trained
        layer = kind(
            h,
            d,
            parts["nm"],
            activation=dense.activation,
            top_k=parts["top_k"],
            router=parts["router"],
            device=dense.gate.weight.device,
            dtype=dense.gate.weight.dtype,
        )
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, MaskedMLP(layer, dense.down))


def _trained(*sizes: int, **given: object) -> MGLU:
    """A layer with logits in float32; a router that gets no gradient was asked for when the model was made."""
    layer = MGLU(*sizes, **given, untrained_router=True)  # type: ignore[arg-type]
    assert layer.masks is not None
    layer.masks = nn.Parameter(layer.masks.detach().float())
    return layer
