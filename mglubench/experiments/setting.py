"""What all trials of an experiment have in common: sizes, steps, seeds, learning rates. Stored in its header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

import msgspec

from mglubench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Setting:
    """Sizes and schedule.

    Attributes:
        h, d, layers, heads, context: of the decoder. batch: sequences a step. steps: of a trial. every: steps between
            evaluations. tests: windows of ``context`` bytes that an evaluation looks at, spread evenly.
        seeds: trials that an arm gets. sweep_steps: of the trials that choose a rate. retrain_steps: of a converted
            model. rates: learning rates to choose from, per arm. mask_factors: rates of mask logits over the others',
            chosen along with them. decay: of matrices.
    """

    h: int = 128
    d: int = 512
    layers: int = 4
    heads: int = 4
    context: int = 64
    batch: int = 16
    steps: int = 1000
    every: int = 100
    tests: int = 256
    seeds: int = 3
    sweep_steps: int = 200
    retrain_steps: int = 300
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    mask_factors: tuple[float, ...] = (1.0,)
    decay: float = 0.1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type == "int" and value < 1:
                raise UsageError(f"{item.name.replace('_', '-')} must be a whole number from 1 on, got {value}")
        for name in ("rates", "mask_factors"):
            values = getattr(self, name)
            if not values or any(not 0 < value < 10 for value in values) or len(set(values)) < len(values):
                raise UsageError(f"{name.replace('_', '-')} must be different numbers between 0 and 10, got {values}")
        if self.h % (2 * self.heads):
            raise UsageError(f"h={self.h} is no multiple of twice heads={self.heads}, as rotary positions need")

    @property
    def tokens_per_step(self) -> int:
        """Bytes that a step trains on."""
        return self.batch * self.context

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Inverse of :meth:`to_dict`.

        Raises:
            UsageError: a value of another type, or one that no setting has.
        """
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise UsageError(f"a setting cannot be read: {error}") from None


QUICK = Setting(h=64, d=256, layers=2, batch=8, steps=100, every=50, tests=128, retrain_steps=50, rates=(3e-3,))
