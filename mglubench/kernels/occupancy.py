"""Theoretical occupancy: how many warps of a kernel a multiprocessor can hold, and what limits them.

Source: NVIDIA, CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"; registers are handed out
to warps in units of 256, shared memory to blocks in units of 128 bytes on top of 1 KB that the system keeps per block.
"""

from __future__ import annotations

from dataclasses import dataclass

from mglubench.errors import UsageError
from mglubench.hardware.cuda_toolchain import capability

REGISTERS_PER_SM = 65536
REGISTER_UNIT = 256
SHARED_UNIT = 128
SHARED_RESERVED = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one multiprocessor: warps, blocks, bytes of shared memory."""

    warps: int
    blocks: int
    shared_bytes: int

    @property
    def shared_bytes_per_block(self) -> int:
        """Most that one block may have, by opting in."""
        return self.shared_bytes - SHARED_RESERVED


LIMITS = {
    80: Limits(64, 32, 164 * 1024),
    86: Limits(48, 16, 100 * 1024),
    87: Limits(48, 16, 164 * 1024),
    89: Limits(48, 24, 100 * 1024),
    90: Limits(64, 32, 228 * 1024),
    100: Limits(64, 32, 228 * 1024),
    103: Limits(64, 32, 228 * 1024),
    110: Limits(48, 24, 228 * 1024),
    120: Limits(48, 24, 100 * 1024),
    121: Limits(48, 24, 100 * 1024),
}


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Resident blocks and warps per multiprocessor, the share of its warp slots, and which resource runs out first."""

    blocks: int
    warps: int
    share: float
    limited_by: str


def limits_of(arch: str) -> Limits:
    """Limits of an architecture; raises :class:`UsageError` for one that is not in the table."""
    found = LIMITS.get(capability(arch))
    if found is None:
        known = ", ".join(f"sm_{number}" for number in LIMITS)
        raise UsageError(f"nothing is known about the limits of {arch}; known: {known}")
    return found


def occupancy(arch: str, threads: int, registers: int, shared_bytes: int) -> Occupancy:
    """For blocks of ``threads`` with ``registers`` per thread and ``shared_bytes`` (static and dynamic, no reserve)."""
    limits = limits_of(arch)
    warps = -(-threads // 32)
    per_warp = _round_up(max(registers, 1) * 32, REGISTER_UNIT)
    shared = _round_up(shared_bytes + SHARED_RESERVED, SHARED_UNIT)
    most = {
        "registers": REGISTERS_PER_SM // per_warp // warps,
        "shared memory": limits.shared_bytes // shared,
        "warps": limits.warps // warps,
        "blocks": limits.blocks,
    }
    limited_by = min(most, key=lambda name: most[name])
    blocks = most[limited_by]
    return Occupancy(blocks, blocks * warps, blocks * warps / limits.warps, limited_by)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
