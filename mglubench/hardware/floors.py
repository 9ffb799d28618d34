"""Floors: the least time that a layer's declared bytes and FLOPs can take on a GPU.

An estimate of a limit, not of a kernel: every operand moves once at the full memory bandwidth (the datasheet's, or what
was measured on such a GPU), arithmetic overlaps with it perfectly, launches cost nothing.
``floor = max(bytes / bandwidth, FLOPs / rate)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from mglubench.hardware.gpus import GpuData
from mglubench.layer.declared import Ledger


@dataclass(frozen=True, slots=True)
class Floor:
    """The floor of one layer on one GPU.

    Attributes:
        memory_us: bytes at the datasheet's bandwidth. compute_us: FLOPs at the rate of the faster unit, ``None`` if no
            rate is known. unit: that unit.
        in_l2: whether all bytes fit in the L2 cache, so that a layer that is run again at once need not be read from
            memory and may be faster than ``memory_us``; ``None`` if the size of the cache is not known.
    """

    memory_us: float
    compute_us: float | None
    unit: str
    in_l2: bool | None

    @property
    def us(self) -> float:
        """The floor in microseconds."""
        return max(self.memory_us, self.compute_us or 0.0)

    @property
    def bound(self) -> str:
        """What binds: ``memory`` or the unit's name."""
        return "memory" if self.us == self.memory_us else self.unit


def floor_of(ledger: Ledger, gpu: GpuData, dtype: str) -> Floor:
    """The floor of a ledger's bytes and FLOPs for weights of ``dtype``."""
    best = gpu.best_flops(dtype)
    return Floor(
        memory_us=ledger.total / gpu.bandwidth * 1e6,
        compute_us=ledger.flops / best[0] * 1e6 if best else None,
        unit=best[1] if best else "",
        in_l2=None if gpu.l2_bytes is None else ledger.total <= gpu.l2_bytes,
    )


def intensity(ledger: Ledger) -> float:
    """Arithmetic intensity, declared FLOPs per declared byte."""
    return ledger.flops / ledger.total
