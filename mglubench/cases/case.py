"""A case: one variant on one problem in one timing mode. Its key names it everywhere (rows, NVTX ranges, joins)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mglubench.cases.vocabulary import ITEMSIZE, device_kind


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    Attributes:
        variant: registered variant name.
        h: hidden size (columns of W). d: intermediate size (rows of W).
        nm: number of masks; 0 for a layer without masks.
        batch: tokens, rows of x.
        dtype: of W, x and y (``float32``, ``bfloat16``, ``float16``).
        activation: ``silu``, ``gelu`` or ``relu``.
        mask: distribution of the masks, e.g. ``bernoulli:0.5``; ``none`` for a layer without masks.
        mode: ``cold``, ``walk``, ``hot`` or ``graph``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        seed: of all random inputs.
    """

    variant: str
    h: int
    d: int
    nm: int = 0
    batch: int = 1
    dtype: str = "float32"
    activation: str = "silu"
    mask: str = "none"
    mode: str = "cold"
    device: str = "cpu"
    seed: int = 0

    @property
    def key(self) -> str:
        """Unique, readable and stable name of the case."""
        parts = (
            self.variant,
            f"{self.h}x{self.d}",
            f"nm{self.nm}",
            f"b{self.batch}",
            self.dtype,
            self.activation,
            self.mask,
            self.mode,
            self.device,
            f"seed{self.seed}",
        )
        return "/".join(parts)

    @property
    def setting(self) -> Setting:
        """What this case shares with all it may fairly be compared to."""
        return Setting(self.h, self.d, self.batch, self.dtype, self.activation, self.mode, self.device, self.seed)

    @property
    def device_kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return device_kind(self.device)

    @property
    def itemsize(self) -> int:
        """Bytes of one element of W, x or y."""
        return ITEMSIZE[self.dtype]

    @property
    def elements(self) -> int:
        """Weight elements of one matrix, d * h."""
        return self.h * self.d

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Case:
        """Inverse of :meth:`to_dict`; unknown keys are ignored so that newer minor fields do not break old readers."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})


@dataclass(frozen=True, slots=True)
class Setting:
    """The part of a case that cases must share to be compared; cases of one setting are measured interleaved."""

    h: int
    d: int
    batch: int
    dtype: str
    activation: str
    mode: str
    device: str
    seed: int

    def title(self) -> str:
        """One line for a table heading."""
        tokens = "1 token" if self.batch == 1 else f"{self.batch} tokens"
        return f"h={self.h} d={self.d}, {tokens}, {self.dtype}, {self.activation}, {self.mode} on {self.device}"
