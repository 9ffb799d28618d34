"""``fp8-e4m3``: floats of 4 exponent and 3 mantissa bits (largest 448, no infinity), an fp32 scale per row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.layer.formats.byte_rows import ByteFormat

if TYPE_CHECKING:
    import torch


class Fp8E4M3(ByteFormat):
    """torch's ``float8_e4m3fn``."""

    name = "fp8-e4m3"
    largest = 448.0

    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """To nearest, ties to even."""
        import torch

        return values.to(torch.float8_e4m3fn).view(torch.uint8)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Exact."""
        import torch

        return codes.view(torch.float8_e4m3fn).float()
