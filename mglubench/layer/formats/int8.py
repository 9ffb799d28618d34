"""``int8``: whole numbers from -127 to 127, symmetric, an fp32 scale per row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.layer.formats.byte_rows import ByteFormat

if TYPE_CHECKING:
    import torch


class Int8(ByteFormat):
    """Two's complement."""

    name = "int8"
    largest = 127.0

    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """To nearest, ties to even."""
        import torch

        return values.round().to(torch.int8).view(torch.uint8)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """The number itself."""
        import torch

        return codes.view(torch.int8).float()
