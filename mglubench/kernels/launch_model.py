"""What a launch can be expected to reach: issue slots, bytes in flight and waves. Every figure is an estimate.

A kernel says how its launch asks the memory for weights (:class:`Flight`); its machine code, pinned by `mglubench
inspect`, says what registers and instructions that takes. From both, for one GPU:

- bytes in flight per multiprocessor: resident warps times what each has outstanding, times the share of a block's life
  in which that is so. By Little's law they carry ``in flight / LATENCY_US`` per multiprocessor;
- issue slots: four warp instructions per cycle and multiprocessor;
- waves: blocks over resident blocks. Of a last wave that is not full, the multiprocessors that have a block work alone;
- bulk copies: a multiprocessor starts one every ``COPY_US``, whatever its size;
- launch: what every kernel of the launch costs, and one latency until the first weights are there.

The rate is the least of the memory's and those of bytes, slots and copies. Registers and instructions are sm_90a's on
every GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mglubench.kernels.occupancy import occupancy

Binds = Literal["memory", "bytes in flight", "issue slots", "bulk copies", "waves", "launch"]

# From asking for weights to having them, under load; a block before its first load leaves and after its last came, with
# reduction, barrier and store; a further kernel of a launch. Estimates, not measured by this project.
LATENCY_US, BLOCK_US, NEXT_US = 0.7, 0.5, 1.5
# Of reports/h100/main-job and two-shapes. A launch: what stream-read-cuda takes for 34 MB beyond their share of its
# time for 1.07 GB, less the latency. A reader's share of the datasheet's bandwidth: 3.12 of 3.35 TB/s. A bulk copy: the
# time of flash-mglu-bulk at 4096x14336, nm=8, less the launch, over the copies of a multiprocessor.
LAUNCH_US, READ_SHARE, COPY_US = 4.1, 0.93, 0.0205
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
        shared_bytes: dynamic, of a block. tail_parts: blocks that share each piece of work of a last wave.
        copies: by the bulk copy engine, of one.
    """

    blocks: int
    warps: int
    block_bytes: float
    warp_bytes: float
    overlapped: bool
    shared_bytes: int
    persistent: bool = False
    launches: int = 1
    tail_parts: int = 1
    copies: float = 0.0


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
    copies_us = flight.blocks * flight.copies / card.sms * COPY_US
    able: dict[Binds, float] = {"bytes in flight": little, "issue slots": issue}
    if copies_us:
        able["bulk copies"] = total / copies_us * 1e6
    slower = min(able, key=able.__getitem__)
    rate = min(card.ceiling, able[slower])
    waves = flight.blocks / (card.sms * max(room, 1))
    body_us = total / rate * 1e6
    tail_us = _tail_us(flight, waves, total, rate, able[slower], card.ceiling)
    launch_us = LAUNCH_US + NEXT_US * (flight.launches - 1) + LATENCY_US
    us = body_us + tail_us + launch_us
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


def _tail_us(flight: Flight, waves: float, total: float, rate: float, alone: float, ceiling: float) -> float:
    """What a last wave takes beyond its share of the time, where only some multiprocessors have a block.

    Of a last wave in parts it is the last of its own waves.
    """
    rest = (waves - math.floor(waves)) * flight.tail_parts
    part = rest - math.floor(rest)
    if part == 0.0 or waves < 1.0:
        return 0.0
    of_wave = total / waves * part / flight.tail_parts
    return max(0.0, of_wave / min(ceiling, part * alone) - of_wave / rate) * 1e6
