"""Cache eviction on a CPU: read a buffer larger than the last-level cache with every core.

The buffer is read, not written: lines that were written would be copied back to memory while the next sample runs, and
be charged to it. Plain threads do the reading because they sleep when done; a compute library's own pool would keep
spinning on the cores that the sample needs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mglubench.hardware.cpu import MIB, last_level_cache
from mglubench.measure.rotation import LESS_THAN_CACHE, UNKNOWN_CACHE
from mglubench.system.limits import threads_wanted

# Caches above this are not walked in full (some report hundreds of MiB, most of them another core's).
LARGEST_WALK = 256 * MIB
SMALLEST_WALK = 64 * MIB


def walk_size(cache: int | None) -> tuple[int, str]:
    """Bytes to walk for a cache of this size, and how to say so."""
    if cache is None:
        return LARGEST_WALK, f"{LARGEST_WALK // MIB} MiB walked ({UNKNOWN_CACHE})"
    wanted = max(SMALLEST_WALK, 4 * cache)
    if cache >= LARGEST_WALK:
        return LARGEST_WALK, f"{LARGEST_WALK // MIB} MiB walked, {LESS_THAN_CACHE} {cache // MIB} MiB cache"
    size = min(wanted, LARGEST_WALK)
    return size, f"{size // MIB} MiB walked, {size / cache:.1f} x the {cache // MIB} MiB cache"


class CpuEvictor:
    """Evicts the caches of all cores when called."""

    def __init__(self) -> None:
        size, self.description = walk_size(last_level_cache())
        self._buffer = np.ones(size // 8, np.int64)
        self._threads = threads_wanted()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="evict")
        self._parts = np.array_split(self._buffer, self._threads)

    def __call__(self) -> None:
        """Read the whole buffer, each core its part."""
        list(self._pool.map(np.add.reduce, self._parts))
