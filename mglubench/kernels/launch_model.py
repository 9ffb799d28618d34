"""What a launch can be expected to reach: issue slots, bytes in flight and waves. Every figure is an estimate.

A kernel says how its launch asks the memory for weights (:class:`Flight`); its machine code, pinned by `mglubench
inspect`, says what registers and instructions that takes. From both, for one GPU:

- bytes in flight per multiprocessor: resident warps times what each has outstanding, times the share of a block's life
  in which that is so. By Little's law they carry ``in flight / LATENCY_US`` per multiprocessor;
- issue slots: four warp instructions per cycle and multiprocessor;
- waves: blocks over resident blocks. Of a last wave that is not full, the multiprocessors that have a block work alone;
- launch: what every kernel of the launch costs, and one latency until the first weights are there.

The rate is the least of the memory's and the first two. Registers and instructions are sm_90a's on every GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mglubench.kernels.occupancy import occupancy

Binds = Literal["memory", "bytes in flight", "issue slots", "waves", "launch"]

# From asking for weights to having them, under load; a block before its first load leaves and after its last came, with
# reduction, barrier and store; a kernel's launch. Estimates, not measured by this project.
LATENCY_US, BLOCK_US, LAUNCH_US = 0.7, 0.5, 1.5
# Of a datasheet's bandwidth, what a good reader gets: an H100 copies 3.0 of 3.35 TB/s.
READ_SHARE = 0.90
ISSUE_SLOTS = 4
# A loss below this share of the time binds nothing.
SMALL = 0.05


@dataclass(frozen=True, slots=True)
class Flight:
    """How a launch asks for weights.

    Attributes:
        blocks: of work; of a persistent kernel, tiles. warps: of a block. block_bytes: weights and masks of one.
        warp_bytes: that a warp has outstanding at a time. overlapped: whether it asks before it computes what came.
        persistent: whether a block goes on to its next work with loads in flight. launches: kernels.
        shared_bytes: dynamic, of a block.
    """

    blocks: int
    warps: int
    block_bytes: float
    warp_bytes: float
    overlapped: bool
    shared_bytes: int
    persistent: bool = False
    launches: int = 1


@dataclass(frozen=True, slots=True)
class Code:
    """What the compiler made of a kernel: registers per thread, warp instructions per weight element."""

    registers: int
    instructions: float


@dataclass(frozen=True, slots=True)
class Card:
    """What the model needs of a GPU: multiprocessors, bytes/s that a reader gets, cycles/s."""

    arch: str
    sms: int
    ceiling: float
    clock: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the model says of one launch.

    Attributes:
        in_flight: bytes per multiprocessor. needed: bytes that the ceiling asks for. issue: share of the issue slots
            that the ceiling's rate takes. us: expected time. share: of the ceiling, launch included. binds: what keeps
            it from more.
    """

    instructions: float
    in_flight: float
    needed: float
    issue: float
    waves: float
    us: float
    share: float
    binds: Binds


def estimate(flight: Flight, code: Code, card: Card, elements: float) -> Estimate:
    """The model for one launch over so many weight elements."""
    room = occupancy(card.arch, 32 * flight.warps, code.registers, flight.shared_bytes).blocks
    # A block that does not fit cannot be launched; a figure is wanted for the others only.
    resident = min(float(max(room, 1)), flight.blocks / card.sms) if flight.blocks < card.sms * room else float(room)
    per_sm = resident * flight.warps * flight.warp_bytes * _duty(flight, code, card, elements)
    total = flight.blocks * flight.block_bytes
    little = per_sm / LATENCY_US * 1e6 * card.sms
    issue = card.sms * ISSUE_SLOTS * card.clock / code.instructions * total / elements
    rate = min(card.ceiling, little, issue)
    waves = flight.blocks / (card.sms * max(room, 1))
    body_us = total / rate * 1e6
    tail_us = _tail_us(waves, total, rate, min(little, issue), card.ceiling)
    launch_us = LAUNCH_US * flight.launches + LATENCY_US
    us = body_us + tail_us + launch_us
    slower: Binds = "issue slots" if issue < little else "bytes in flight"
    lost: dict[Binds, float] = {
        slower: body_us - total / card.ceiling * 1e6,
        "waves": tail_us,
        "launch": launch_us,
    }
    worst = max(lost, key=lost.__getitem__)
    return Estimate(
        code.instructions,
        per_sm,
        card.ceiling * LATENCY_US * 1e-6 / card.sms,
        card.ceiling / issue,
        waves,
        us,
        total / card.ceiling * 1e6 / us,
        worst if lost[worst] > SMALL * us else "memory",
    )


def _duty(flight: Flight, code: Code, card: Card, elements: float) -> float:
    """The share of a block's life in which its warps wait for weights that they asked for."""
    if flight.persistent:
        return 1.0
    of_warp = flight.block_bytes / flight.warps
    rounds = max(1.0, of_warp / flight.warp_bytes)
    per_byte = elements / (flight.blocks * flight.block_bytes)
    own_us = 0.0 if flight.overlapped else of_warp * per_byte * code.instructions / card.clock * 1e6
    waiting = rounds * LATENCY_US
    return waiting / (waiting + own_us + BLOCK_US) * min(1.0, of_warp / flight.warp_bytes)


def _tail_us(waves: float, total: float, rate: float, alone: float, ceiling: float) -> float:
    """What a last wave takes beyond its share of the time, where only some multiprocessors have a block."""
    part = waves - math.floor(waves)
    if part == 0.0 or waves < 1.0:
        return 0.0
    of_wave = total / waves * part
    return max(0.0, of_wave / min(ceiling, part * alone) - of_wave / rate) * 1e6
