"""``int4``: whole numbers from -7 to 7, symmetric, a bf16 scale per 128 columns of a row; code ``n + 8``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.layer.formats.nibble_rows import NibbleFormat

if TYPE_CHECKING:
    import torch

ZERO = 8


class Int4(NibbleFormat):
    """Codes without a sign: what is added is taken off by the kernels' tables."""

    name = "int4"
    group = 128
    scale_bits = 16
    largest = 7.0

    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """To nearest, ties to even."""
        import torch

        return (values.round() + ZERO).to(torch.uint8)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """The number that a code stands for."""
        return codes.float() - ZERO

    def scales_of(self, peaks: torch.Tensor) -> torch.Tensor:
        """The peak has the largest code."""
        return (peaks / self.largest).bfloat16().float()

    def scale_bytes(self, scales: torch.Tensor) -> torch.Tensor:
        """bf16."""
        import torch

        return scales.bfloat16().view(torch.uint8)

    def scales_from(self, stored: torch.Tensor) -> torch.Tensor:
        """fp32 of bf16."""
        import torch

        return stored.view(torch.bfloat16).float()
