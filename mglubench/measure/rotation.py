"""What makes a launch cold on a CPU: launches take turns over copies of the layer, more than the caches hold.

A decode step finds its weights in memory and its threads awake. Emptying the caches by a walk over a large buffer gives
the first and loses the second: the walk lasts longer than a thread pool spins, so each sample pays for waking threads.
Copies that take turns give both. Where there is no room for enough of them, the caches are walked all the same, and
the description of the clock says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mglubench.hardware.cpu import MIB

# Of the last-level cache, whose size a virtual machine reports although others use it as well.
TIMES_THE_CACHE = 2
CACHE_WHERE_UNKNOWN = 256 * MIB
# A copy is one draw of addresses: one alone says nothing of what another draw would have given.
LEAST_COPIES = 2
FLUSHES_ITSELF = 8
MOST_COPIES = 128


# How clocks say that caches may have kept weights; a row has only their words.
UNKNOWN_CACHE, LESS_THAN_CACHE = "cache size unknown", "less than the"


def why_not_cold(timer: str) -> str:
    """The words of the clock of a row, if they say that the caches may not have been emptied; else nothing."""
    return timer if UNKNOWN_CACHE in timer or LESS_THAN_CACHE in timer else ""


@dataclass(frozen=True, slots=True)
class Cold:
    """How launches on a CPU are made cold.

    Attributes:
        copies: of the layer that launches take turns over; 1 where the caches are walked.
        reason: why the caches are walked instead, empty if launches take turns.
    """

    copies: int
    reason: str = ""

    @property
    def walk(self) -> bool:
        """Whether the caches are walked before every sample."""
        return bool(self.reason)


def copies_wanted(resident_bytes: int, cache: int | None, moved_bytes: int = 0) -> int:
    """Copies whose sum is at least twice the cache, however many that are; at least two, for two draws of addresses.

    A launch that moves many times what the caches hold finds nothing of itself in them: one copy is enough, and where
    its addresses lie is the least of what makes it slow.
    """
    if moved_bytes >= FLUSHES_ITSELF * (cache or CACHE_WHERE_UNKNOWN):
        return 1
    wanted = TIMES_THE_CACHE * (cache or CACHE_WHERE_UNKNOWN)
    return max(LEAST_COPIES, math.ceil(wanted / max(1, resident_bytes)))


def cold_on_cpu(resident_bytes: int, cache: int | None, room: int, moved_bytes: int = 0) -> Cold:
    """How to make a layer cold.

    Args:
        resident_bytes: what one prepared layer holds. cache: bytes of the last-level cache, ``None`` if unknown.
        room: bytes of memory that copies may take, the first one included. moved_bytes: what one launch reads and
            writes by its declaration.
    """
    copies = copies_wanted(resident_bytes, cache, moved_bytes)
    if copies > MOST_COPIES:
        return Cold(1, f"it would take {copies} copies of so small a layer to exceed the caches")
    if copies * resident_bytes > room:
        return Cold(1, f"no room for {copies} copies of {resident_bytes / 1e9:.2g} GB")
    return Cold(copies)


def describe(cold: Cold, resident_bytes: int, cache: int | None, walked: str) -> str:
    """The words of a row's clock.

    Args:
        walked: what the walk says of itself; used where there is one.
    """
    if cold.walk:
        return f"{walked}; {cold.reason}"
    if cold.copies == 1:
        return "one copy: a launch moves many times what the caches hold"
    total = cold.copies * resident_bytes
    size = f"{total / cache:.1f} x the {cache // MIB} MiB cache" if cache else UNKNOWN_CACHE
    return f"launches take turns over {cold.copies} copies, {total // MIB} MiB, {size}"
