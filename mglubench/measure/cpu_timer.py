"""The clock of a CPU: a monotonic clock around each launch.

``cold`` takes turns over copies of the layer that the caches cannot hold (:mod:`~mglubench.measure.rotation`), ``walk``
empties the caches by a walk before each sample, ``hot`` does neither.

A block begins by settling. After another runtime's block a thread pool needs tens of milliseconds until its threads
sit on cores of their own, and what it does meanwhile is not yet the layer: launches that begin in the first
``SETTLE_SECONDS`` are run, counted and not kept. Of a launch that takes many times as long settling is a small part; it
is kept. A walk puts the pools to sleep again before every sample, so there is nothing to settle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from mglubench.errors import UnavailableError
from mglubench.hardware.affinity import Pinning
from mglubench.hardware.cpu_readings import CpuMeter
from mglubench.measure.eviction import CpuEvictor
from mglubench.measure.timers import Launch, Taken, Timer
from mglubench.system.collector import garbage_collection_off

CPU_MODES = ("cold", "walk", "hot")
SETTLE_SECONDS = 0.05
# A launch of this many times the settling is its own settling.
LONG_LAUNCH = 5


class CpuTimer(Timer):
    """perf_counter around the launches of some copies of a layer, which take turns.

    Args:
        launches: one per copy. mode: ``cold``, ``walk`` or ``hot``.
        evict: empties the caches before each sample, where copies that take turns do not.
        how: words for the row, where the caller knows more than this class.
        settle: seconds. pin: whether threads are bound to cores during a block, see
            :mod:`~mglubench.hardware.affinity`; the launches must have run before.
    """

    WARM_UP_SECONDS = 0.02

    def __init__(
        self,
        launches: Sequence[Launch],
        mode: str,
        evict: CpuEvictor | None = None,
        how: str = "",
        *,
        settle: float = SETTLE_SECONDS,
        pin: bool = False,
    ) -> None:
        if mode not in CPU_MODES:
            raise UnavailableError(
                f"mode {mode} needs CUDA; on a CPU use {', '.join(CPU_MODES[:-1])} or {CPU_MODES[-1]}"
            )
        self._launches = list(launches)
        self._evict = evict if mode != "hot" else None
        self._settle_ns = int(settle * 1e9)
        self._turn = 0
        self._meter = CpuMeter()
        turns = (
            "one launch per sample, caches left warm" if mode == "hot" else f"{len(self._launches)} copies take turns"
        )
        self.description = how or (self._evict.description if self._evict else turns)
        self._pinned: Callable[[], AbstractContextManager[None]] = nullcontext
        if pin:
            pinning = Pinning()
            pinning.learn(self.run_timed)
            self._pinned, self.description = pinning, f"{self.description}; {pinning.words}"

    @property
    def walks(self) -> bool:
        """Whether the caches are walked before every sample."""
        return self._evict is not None

    def warm_up(self) -> None:
        """At least one run of every copy."""
        self.keep_busy(self.WARM_UP_SECONDS)

    def keep_busy(self, seconds: float) -> None:
        """All launches, again and again."""
        end = time.perf_counter() + seconds
        self.run_timed()
        while time.perf_counter() < end:
            self.run_timed()

    def run_timed(self) -> None:
        """The launch of every copy."""
        for launch in self._launches:
            launch()

    def sample(self, seconds: float, most: int) -> Taken:
        """One launch per sample; the copies go on taking turns where the last block ended."""
        samples: list[float] = []
        copies: list[int] = []
        with garbage_collection_off(), self._pinned():
            begin = time.perf_counter_ns()
            self._meter.start()
            settling = self._settle(samples, copies) if self._evict is None else 0
            if settling:
                begin = time.perf_counter_ns()
                self._meter.start()
            end = begin + int(seconds * 1e9)
            while not samples or (len(samples) < most and self._goes_on(len(samples), begin, end)):
                copies.append(self._turn)
                samples.append(self._one())
            return Taken(samples, copies, settling, self._meter.stop())

    def _goes_on(self, taken: int, begin: int, end: int) -> bool:
        """Until time is up, and then to the end of a turn over the copies if that is soon: every copy counts alike."""
        now = time.perf_counter_ns()
        return now < end or (taken % len(self._launches) > 0 and now < end + (end - begin))

    def _settle(self, samples: list[float], copies: list[int]) -> int:
        """Run until the pools are awake, at least once; a long launch is the first sample. Returns what was lost."""
        lost, start = 0, time.perf_counter_ns()
        while not lost or time.perf_counter_ns() - start < self._settle_ns:
            turn = self._turn
            took = self._one()
            if took >= LONG_LAUNCH * self._settle_ns > 0:
                samples.append(took)
                copies.append(turn)
                break
            lost += 1
        return lost

    def _one(self) -> float:
        """Nanoseconds of the next copy's launch."""
        launch, clock = self._launches[self._turn], time.perf_counter_ns
        self._turn = (self._turn + 1) % len(self._launches)
        if self._evict is not None:
            self._evict()
        start = clock()
        launch()
        return float(clock() - start)
