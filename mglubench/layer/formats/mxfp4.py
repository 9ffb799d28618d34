"""``mxfp4``: floats of a sign, 2 exponent bits and 1 mantissa bit, a power of two per 32 columns of a row.

Source: OCP Microscaling Formats (MX) Specification v1.0: elements E2M1 (largest 6), scales E8M0, whose exponent is that
of the group's largest magnitude less 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.layer.formats.nibble_rows import NibbleFormat

if TYPE_CHECKING:
    import torch

MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
SIGN = 8
LARGEST_EXPONENT, BIAS = 2, 127


class Mxfp4(NibbleFormat):
    """E2M1 under E8M0."""

    name = "mxfp4"
    group = 32
    scale_bits = 8
    largest = MAGNITUDES[-1]

    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """To nearest, ties to the even mantissa."""
        import torch

        size = values.abs()
        # A unit of the last place is half of the number's power of two, half of 1 below 1.
        unit = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
        nearest = torch.round(size / unit) * unit
        codes = torch.searchsorted(torch.tensor(MAGNITUDES), nearest.contiguous()).to(torch.uint8)
        return codes | (torch.signbit(values).to(torch.uint8) * SIGN)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """By the table."""
        import torch

        return torch.tensor([*MAGNITUDES, *(-size for size in MAGNITUDES)], device=codes.device)[codes.int()]

    def scales_of(self, peaks: torch.Tensor) -> torch.Tensor:
        """A power of two; what lies above 6 of it is clamped."""
        import torch

        exponent = torch.frexp(peaks).exponent - 1 - LARGEST_EXPONENT
        return torch.ldexp(torch.ones_like(peaks), exponent)

    def scale_bytes(self, scales: torch.Tensor) -> torch.Tensor:
        """Biased exponents."""
        import torch

        return (torch.frexp(scales).exponent - 1 + BIAS).to(torch.uint8)

    def scales_from(self, stored: torch.Tensor) -> torch.Tensor:
        """Powers of two."""
        import torch

        return torch.ldexp(torch.ones(stored.shape, device=stored.device), stored.int() - BIAS)
