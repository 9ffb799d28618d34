"""The CPU layout of formats of half a byte: groups of 128 columns, a 32-bit word per vector lane, scales behind all.

Nibble ``u`` of the word of lane ``l`` (``4 u`` bits from its lowest) is column ``128 g + 16 u + l`` of a row: a load of
64 bytes, shifted by 4 for every block of 16 columns, is the index of a table look-up in every lane. The last group is
padded with code 0, whose columns nobody multiplies.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from mglubench.layer.formats.weight_format import Quantised, WeightFormat

if TYPE_CHECKING:
    import torch

GROUP_COLUMNS, GROUP_BYTES, LANES, NIBBLES = 128, 64, 16, 8


class NibbleFormat(WeightFormat):
    """A code half a byte; its value is found in a table of 16."""

    bits = 4

    def table(self) -> torch.Tensor:
        """Values of the codes, fp32 [16]."""
        import torch

        return self.decode(torch.arange(16, dtype=torch.uint8))

    @abstractmethod
    def scale_bytes(self, scales: torch.Tensor) -> torch.Tensor:
        """Scales [d, groups] as they are stored, uint8 [d, bytes]."""

    @abstractmethod
    def scales_from(self, stored: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`scale_bytes`."""

    def cpu_row_bytes(self, h: int) -> int:
        """Whole groups of codes, and as many scales as those have."""
        return -(-h // GROUP_COLUMNS) * (GROUP_BYTES + GROUP_COLUMNS // self.group * self.scale_bits // 8)

    def cpu_rows(self, matrix: Quantised) -> torch.Tensor:
        """Nibbles by lane."""
        import torch

        d, h = matrix.codes.shape
        groups = -(-h // GROUP_COLUMNS)
        padded = torch.nn.functional.pad(matrix.codes, (0, groups * GROUP_COLUMNS - h))
        nibbles = padded.view(d, groups, NIBBLES, LANES).transpose(2, 3)
        codes = (nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)).reshape(d, -1)
        spare = groups * (GROUP_COLUMNS // self.group) - matrix.scales.shape[1]
        scales = torch.nn.functional.pad(matrix.scales, (0, spare), value=1.0)
        return torch.cat([codes, self.scale_bytes(scales)], dim=1)

    def from_cpu_rows(self, rows: torch.Tensor, h: int) -> Quantised:
        """Columns in their order, without padding."""
        import torch

        d, groups = rows.shape[0], -(-h // GROUP_COLUMNS)
        packed = rows[:, : groups * GROUP_BYTES].reshape(d, groups, LANES, NIBBLES // 2)
        nibbles = torch.stack([packed & 15, packed >> 4], dim=4).reshape(d, groups, LANES, NIBBLES)
        codes = nibbles.transpose(2, 3).reshape(d, -1)[:, :h].contiguous()
        scales = self.scales_from(rows[:, groups * GROUP_BYTES :].contiguous())
        return Quantised(self, codes, scales[:, : self.groups(h)].contiguous())
