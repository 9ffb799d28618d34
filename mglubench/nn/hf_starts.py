"""From a dense gated MLP to a masked one: where the weight and the masks come from, by name.

None keeps the function: two matrices do not fit one. ``stand-in`` is for timing alone. Importing this module imports
torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from mglubench.cases.vocabulary import one_of
from mglubench.errors import UsageError
from mglubench.nn.hf_registry import Dense
from mglubench.nn.layer_checks import check_nm, not_negative
from mglubench.nn.mask_planes import to_planes
from mglubench.nn.packed import PackedMGLU
from mglubench.nn.swimglu import LOGIT_STD, MGLU
from mglubench.nn.topk import ORDERS, check

MODES = {
    "fresh": "a new layer, to train from scratch",
    "stand-in": "the gate's weight with random masks, packed: outputs mean nothing, its speed is the layer's",
    "larger": "each weight is the larger of gate's and up's, its masks say which it was: a start to retrain from",
    "sum": "(gate + up) / sqrt 2 with random masks: a start to retrain from",
}


@dataclass(frozen=True)
class SwapConfig:
    """What becomes of each MLP.

    Attributes:
        nm: number of masks, 1 to 16. mode: of :data:`MODES`.
        top_k, router: of :class:`mglubench.nn.MGLU`, for ``fresh``.
        std: of the new weights of ``fresh``; the model's own ``initializer_range`` or 0.02 if ``None``.
        allow_meaningless: whether a model with stand-ins may save, and generate text.
    """

    nm: int = 4
    mode: str = "fresh"
    top_k: int | None = None
    router: str = "topk-then-softmax"
    std: float | None = None
    allow_meaningless: bool = False

    def __post_init__(self) -> None:
        check_nm(self.nm)
        one_of(self.mode, MODES, "mode")
        one_of(self.router, ORDERS, "router")
        if self.std is not None:
            not_negative("std", self.std)
        if self.top_k is not None:
            check(self.top_k, self.nm, self.router)
            if self.mode != "fresh":
                raise UsageError(f"top_k is for mode='fresh': a router has nothing to start from in {self.mode!r}")


class MaskedMLP(nn.Module):
    """What an MLP is exchanged for: a masked gated projection, trained or packed, and the down projection."""

    def __init__(self, mglu: nn.Module, down_proj: nn.Linear) -> None:
        super().__init__()
        self.mglu, self.down_proj = mglu, down_proj

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., h] to [..., h]."""
        y: torch.Tensor = self.down_proj(self.mglu(x))
        return y


def started(dense: Dense, config: SwapConfig, std: float) -> MaskedMLP:
    """The masked MLP of ``config`` for a dense one, which stays as it is; the down projection is shared."""
    return _STARTS[config.mode](dense, config, std)


@torch.no_grad()
def _fresh(dense: Dense, config: SwapConfig, std: float) -> MaskedMLP:
    layer = _layer(dense, config)
    layer.weight.normal_(std=std)
    if layer.router is not None:
        layer.router.weight.normal_(std=std)
    return MaskedMLP(layer, dense.down)


@torch.no_grad()
def _stand_in(dense: Dense, config: SwapConfig, std: float) -> MaskedMLP:
    weight = dense.gate.weight.detach()
    d, h = weight.shape
    layer = PackedMGLU(h, d, config.nm, activation=dense.activation, device="meta")
    layer.weight = weight
    layer.mask_planes = to_planes((torch.rand((config.nm, d, h)) < 0.5).to(weight.device))
    return MaskedMLP(layer, dense.down)


@torch.no_grad()
def _larger(dense: Dense, config: SwapConfig, std: float) -> MaskedMLP:
    """All masks are alike at the start, so each of the nm parts is the same and the down projection is divided by nm.

    Their logits are as large as new ones and drawn apart, so that training can tell them apart.
    """
    layer, gate, up = _layer(dense, config), dense.gate.weight, dense.up.weight
    for_gate = gate.abs() >= up.abs()
    layer.weight.copy_(torch.where(for_gate, gate, up))
    assert layer.masks is not None
    layer.masks.normal_(std=LOGIT_STD).abs_().clamp_(min=torch.finfo(layer.masks.dtype).tiny)
    layer.masks.mul_(torch.where(for_gate, 1.0, -1.0).to(layer.masks.dtype))
    if config.nm == 1:
        return MaskedMLP(layer, dense.down)
    down = nn.Linear(dense.down.in_features, dense.down.out_features, bias=False, device="meta")
    down.weight = nn.Parameter(dense.down.weight / config.nm)
    return MaskedMLP(layer, down)


@torch.no_grad()
def _sum(dense: Dense, config: SwapConfig, std: float) -> MaskedMLP:
    layer = _layer(dense, config)
    layer.weight.copy_((dense.gate.weight + dense.up.weight) / math.sqrt(2))
    return MaskedMLP(layer, dense.down)


def _layer(dense: Dense, config: SwapConfig) -> MGLU:
    """A layer to train of the dense one's sizes, dtype and device, logits in float32."""
    weight = dense.gate.weight
    layer = MGLU(
        weight.shape[1],
        weight.shape[0],
        config.nm,
        activation=dense.activation,
        top_k=config.top_k,
        router=config.router,
        device=weight.device,
        dtype=weight.dtype,
    )
    assert layer.masks is not None
    layer.masks = nn.Parameter(layer.masks.detach().float())
    return layer


_STARTS: dict[str, Callable[[Dense, SwapConfig, float], MaskedMLP]] = {
    "fresh": _fresh,
    "stand-in": _stand_in,
    "larger": _larger,
    "sum": _sum,
}
