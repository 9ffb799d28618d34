"""The CPU layout of formats of a byte: the codes of a row, padded with zero to 16 columns, and its fp32 scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mglubench.layer.formats.weight_format import Quantised, WeightFormat, rounded
from mglubench.layer.masks import round_up

if TYPE_CHECKING:
    import torch

COLUMNS = 16
SCALE_BYTES = 4
# Significant bits of a scale: with the 7 of an int8 code, a product has no more than fp32.
SCALE_DIGITS = 16


class ByteFormat(WeightFormat):
    """A code a byte, a scale a row."""

    bits = 8
    scale_bits = 8 * SCALE_BYTES

    def scales_of(self, peaks: torch.Tensor) -> torch.Tensor:
        """The peak has the largest code."""
        return rounded(peaks / self.largest, SCALE_DIGITS)

    def cpu_row_bytes(self, h: int) -> int:
        """Codes and scale."""
        return round_up(h, COLUMNS) + SCALE_BYTES

    def cpu_rows(self, matrix: Quantised) -> torch.Tensor:
        """Codes in the order of columns."""
        import torch

        h = matrix.codes.shape[1]
        codes = torch.nn.functional.pad(matrix.codes, (0, round_up(h, COLUMNS) - h))
        return torch.cat([codes, matrix.scales.contiguous().view(torch.uint8)], dim=1)

    def from_cpu_rows(self, rows: torch.Tensor, h: int) -> Quantised:
        """Codes without padding."""
        import torch

        scales = rows[:, round_up(h, COLUMNS) :].contiguous().view(torch.float32)
        return Quantised(self, rows[:, :h].contiguous(), scales)
