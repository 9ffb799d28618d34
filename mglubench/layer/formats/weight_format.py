"""What a weight format is: codes of a few bits, scales that some of them share, and how both lie in memory.

A format quantises W [d, h] once, offline. Its scales are rounded before they are used, to so few significant bits that
code times scale is exact in fp32: the dequantised W, of which references are made, is what every kernel can compute.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mglubench.errors import UsageError

if TYPE_CHECKING:
    import torch

# Scales are at least so large, that neither they nor the values of small codes are fp32 numbers without full precision.
LEAST_SCALE = 2.0**-100


@dataclass(frozen=True, slots=True)
class Quantised:
    """A matrix in a format.

    Attributes:
        format: that of the codes. codes: uint8 [d, h], a code in the low bits of each. scales: fp32 [d, groups].
    """

    format: WeightFormat
    codes: torch.Tensor
    scales: torch.Tensor

    def dequantised(self) -> torch.Tensor:
        """W as it is computed with, fp32 [d, h]."""
        values, group = self.format.decode(self.codes), self.format.group_of(self.codes.shape[1])
        return values * self.scales.repeat_interleave(group, dim=1)[:, : values.shape[1]]

    def clone(self) -> Quantised:
        """The same with addresses of its own."""
        return Quantised(self.format, self.codes.clone(), self.scales.clone())


class WeightFormat(ABC):
    """One format.

    Attributes:
        name: as the axis ``weights`` has it. bits: of a code. group: columns of a row that share a scale; 0: all.
        scale_bits: of a stored scale. largest: of the values that codes stand for.
    """

    name: ClassVar[str]
    bits: ClassVar[int]
    group: ClassVar[int] = 0
    scale_bits: ClassVar[int]
    largest: ClassVar[float]

    @abstractmethod
    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """Codes, uint8, of the nearest values within ``-largest`` to ``largest``; fp32 of any shape."""

    @abstractmethod
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Values of codes, fp32, without their scale."""

    @abstractmethod
    def scales_of(self, peaks: torch.Tensor) -> torch.Tensor:
        """Scales as they are stored, fp32, for groups whose largest magnitudes are ``peaks``, all of them above 0."""

    @abstractmethod
    def cpu_rows(self, matrix: Quantised) -> torch.Tensor:
        """The layout of the CPU kernels: uint8 [d, :meth:`cpu_row_bytes`], the scales of a row behind its codes."""

    @abstractmethod
    def from_cpu_rows(self, rows: torch.Tensor, h: int) -> Quantised:
        """Inverse of :meth:`cpu_rows`."""

    @abstractmethod
    def cpu_row_bytes(self, h: int) -> int:
        """Bytes of a row for the CPU kernels, padding included."""

    def group_of(self, h: int) -> int:
        """Columns that share a scale, of rows of ``h``."""
        return self.group or h

    def groups(self, h: int) -> int:
        """Scales of a row."""
        return -(-h // self.group_of(h))

    def nbytes(self, d: int, h: int) -> int:
        """Bytes of a matrix and its scales, without padding: the least that a layer reads of it."""
        return -(-d * (h * self.bits + self.groups(h) * self.scale_bits) // 8)

    def quantise(self, weight: torch.Tensor) -> Quantised:
        """``weight`` [d, h] of any float dtype in this format.

        Raises:
            UsageError: a weight is NaN or infinite, for which formats have no code.
        """
        import torch

        values = weight.detach().float()
        if not bool(torch.isfinite(values).all()):
            raise UsageError(f"weights are not all finite, and {self.name} has no code for such; use weights same")
        (d, h), group = values.shape, self.group_of(values.shape[1])
        padded = torch.nn.functional.pad(values, (0, self.groups(h) * group - h)).view(d, -1, group)
        peaks = padded.abs().amax(dim=2)
        scales = torch.where(peaks > 0, self.scales_of(peaks.clamp(min=LEAST_SCALE)), torch.ones_like(peaks))
        codes = self.encode((padded / scales[:, :, None]).clamp(-self.largest, self.largest))
        return Quantised(self, codes.view(d, -1)[:, :h].contiguous(), scales)


def rounded(values: torch.Tensor, bits: int) -> torch.Tensor:
    """fp32 values with so many significant bits, to nearest."""
    import torch

    mantissa, exponent = torch.frexp(values)
    return torch.ldexp(torch.round(mantissa * 2.0**bits), exponent - bits)
