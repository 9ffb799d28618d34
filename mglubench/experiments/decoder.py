"""A small decoder over bytes: pre-norm blocks, rotary positions, tied embeddings. Importing this module imports torch.

What all arms share is drawn first, so that it starts alike in all arms of a seed.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from mglubench.experiments.arms import Arm
from mglubench.experiments.corpus import VOCABULARY
from mglubench.experiments.setting import Setting
from mglubench.nn.swimglu import MGLU, MGLUMLP


class Up(nn.Module):
    """GELU(x W), or SiLU(x Wg) * (x Wv)."""

    def __init__(self, h: int, d: int, *, gated: bool) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(h, d, bias=False)
        self.up_proj = nn.Linear(h, d, bias=False) if gated else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., h] to [..., d]."""
        if self.up_proj is None:
            return functional.gelu(self.gate_proj(x))
        up: torch.Tensor = self.up_proj(x)
        return functional.silu(self.gate_proj(x)) * up


class DenseMLP(nn.Module):
    """A feed-forward block without masks."""

    def __init__(self, h: int, d: int, *, gated: bool) -> None:
        super().__init__()
        self.mglu, self.down_proj = Up(h, d, gated=gated), nn.Linear(d, h, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., h] to [..., h]."""
        y: torch.Tensor = self.down_proj(self.mglu(x))
        return y


def feed_forward(arm: Arm, h: int, d: int) -> DenseMLP | MGLUMLP:
    """The block of an arm."""
    if arm.kind != "mglu":
        return DenseMLP(h, round(d * arm.narrow), gated=arm.kind == "glu")
    return MGLUMLP(
        h,
        d,
        max(1, arm.nm),
        masked=arm.masked,
        masks="learned" if arm.learned else "fixed",
        top_k=arm.top_k,
        router=arm.order,
        untrained_router=True,
    )


class Block(nn.Module):
    """Attention and a feed-forward block, each beside the residual."""

    def __init__(self, h: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.RMSNorm(h) for _ in range(2))
        self.qkv, self.out = nn.Linear(h, 3 * h, bias=False), nn.Linear(h, h, bias=False)
        self.mlp: nn.Module = nn.Identity()

    def give(self, mlp: DenseMLP | MGLUMLP, layers: int) -> None:
        """Take a feed-forward block; what is added to the residual starts smaller the more layers there are."""
        self.mlp = mlp
        with torch.no_grad():
            for last in (self.out, mlp.down_proj):
                # To divide rounds otherwise, and rows of another rounding are those of another run.
                last.weight.mul_(1 / math.sqrt(2 * layers))

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, h] to the same."""
        batch, tokens, h = x.shape
        qkv = self.qkv(self.norms[0](x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = turned(qkv[0], turn), turned(qkv[1], turn), qkv[2]
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, h))
        y: torch.Tensor = x + self.mlp(self.norms[1](x))
        return y


def turned(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotary positions; ``turn`` holds cosines and sines, [2, tokens, half of a head]."""
    (a, b), (cos, sin) = x.chunk(2, -1), turn
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Decoder(nn.Module):
    """Logits [batch, tokens, 256] of bytes [batch, tokens]."""

    turn: torch.Tensor

    def __init__(self, setting: Setting, arm: Arm) -> None:
        super().__init__()
        h, layers = setting.h, setting.layers
        self.embedding = nn.Embedding(VOCABULARY, h)
        nn.init.normal_(self.embedding.weight, std=0.02)
        blocks = [Block(h, setting.heads) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(h)
        half = h // setting.heads // 2
        angle = torch.outer(torch.arange(setting.context).float(), 1e4 ** (-torch.arange(half).float() / half))
        self.register_buffer("turn", torch.stack((angle.cos(), angle.sin())), persistent=False)
        for block in blocks:
            block.give(feed_forward(arm, h, setting.d), layers)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the byte after each."""
        x, turn = self.embedding(tokens), self.turn[:, : tokens.shape[1]]
        for block in self.blocks:
            x = block(x, turn)
        return functional.linear(self.norm(x), self.embedding.weight)


def masked_layers(model: nn.Module) -> list[MGLU]:
    """The MGLU layers with masks, from the first block to the last."""
    return [layer for layer in model.modules() if isinstance(layer, MGLU) and layer.masks is not None]
