"""What masks do while they train, beside a twin that gets the same gradients at random places.

AdamW moves a logit by about the learning rate whatever its gradient means, so that bits flip under noise as well. The
twin of a layer's logits is drawn like them and optimised like them; each of its logits gets, step by step, the gradient
of a logit drawn at random. What flips beyond it is what training wants. Importing this module imports torch.
"""

from __future__ import annotations

import torch
from torch import nn

from mglubench.experiments.trial import MaskState
from mglubench.nn.swimglu import LOGIT_STD, MGLU

# Logits of a twin; the standard error of a share of so many is below half a percent.
TWIN = 16384


class Watch:
    """The masks of one layer over a training.

    Attributes:
        twin: its logits, for the optimiser's group of masks; ``None`` where masks do not train.
    """

    def __init__(self, layer: MGLU, draw: torch.Generator) -> None:
        assert layer.masks is not None
        self._layer, self._draw = layer, draw
        self._first = self._last = layer.hard_masks().clone()
        self.twin: nn.Parameter | None = None
        if layer.masks.requires_grad:
            count = min(TWIN, layer.masks.numel())
            self.twin = nn.Parameter(torch.randn(count, generator=draw) * LOGIT_STD)
            self._twin_first = self._twin_last = self.twin.detach() > 0

    def shuffle(self) -> None:
        """Give the twin the gradients of this step, each of a logit drawn at random."""
        if self.twin is not None:
            assert self._layer.masks is not None
            assert self._layer.masks.grad is not None
            gradient = self._layer.masks.grad.reshape(-1)
            self.twin.grad = gradient[torch.randint(len(gradient), self.twin.shape, generator=self._draw)]

    def mark(self) -> None:
        """From here on bits are compared with those of now; the start stays."""
        self._last = self._layer.hard_masks()
        if self.twin is not None:
            self._twin_last = self.twin.detach() > 0

    def state(self, load: list[float]) -> MaskState:
        """What is to be told of now."""
        bits, twin = self._layer.hard_masks(), self.twin
        now = None if twin is None else twin.detach() > 0
        return MaskState(
            flipped=_unlike(bits, self._last),
            moved=_unlike(bits, self._first),
            gate=[round(float(share), 6) for share in bits.float().mean((1, 2))],
            entropy=pattern_entropy(bits),
            noise_flipped=None if now is None else _unlike(now, self._twin_last),
            noise_moved=None if now is None else _unlike(now, self._twin_first),
            load=load,
        )


def pattern_entropy(bits: torch.Tensor) -> float:
    """Bits of entropy of what the masks [nm, d, h] together say of a weight; nm if all patterns are alike frequent."""
    values = torch.zeros_like(bits[0], dtype=torch.int64)
    for bit in bits:
        values = 2 * values + bit
    counts = torch.bincount(values.reshape(-1)).double()
    shares = counts[counts > 0] / counts.sum()
    return round(float(-(shares * shares.log2()).sum()), 6)


def _unlike(now: torch.Tensor, then: torch.Tensor) -> float:
    return round(float((now != then).float().mean()), 6)
