"""Whether a process got the cores that it asked for, from the kernel's own book-keeping.

A thread that could run and was not let costs the sample as much as its own work, and no clock shows it. The kernel
counts that time per thread (``run_delay``, the second field of ``/proc/PID/task/TID/schedstat``: nanoseconds on a run
queue without running), so nothing need be known of how many threads a layer uses: one that uses a single thread and
gets it has not waited. A hypervisor that runs another machine on the core is seen in ``steal`` of ``/proc/stat``, in
steps of a clock tick. Reference: Documentation/scheduler/sched-stats.rst of the Linux kernel, proc(5).

Where the kernel counts no waiting, cores in use (CPU time over wall time) are held against the case's own best blocks.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mglubench.hardware.devices import Reading

TASKS = Path("/proc/self/task")
# Share of the busiest thread's time from which on a thread takes part in a block.
TAKES_PART = 0.2
STAT = Path("/proc/stat")

# Above this share of a block's wall time, spent waiting for a core by any of its threads, the block says more about the
# neighbours than about the layer.
MOST_WAITED = 0.10
# Steal is counted in ticks of a hundredth of a second for all cores: one tick of a short block is no evidence.
MOST_STOLEN, STEAL_TICKS = 0.10, 2
# Without a count of waiting: below this share of the cores that the case's best blocks used, and pushed off a core.
LEAST_CORES, LEAST_SWITCHES_PER_SECOND = 0.85, 20.0


# Set it to 1 where cores are shared on purpose (tests that run side by side): starved blocks are then kept.
KEEP_STARVED = "MGLUBENCH_KEEP_STARVED"


@dataclass(frozen=True, slots=True)
class CpuReading:
    """What a process got of the cores during a block; a figure that the system does not give is ``None``.

    Attributes:
        wall: seconds. cores: CPU time of all threads over wall time.
        waited: time that threads spent ready to run without a core, summed over them, over wall time.
        stolen: time that the hypervisor ran something else, summed over all cores, over wall time.
        involuntary: times that a thread was taken off its core, per second.
        threads: that took part: ran for a fifth of the time of the busiest, at least.
    """

    wall: float
    cores: float
    waited: float | None
    stolen: float | None
    involuntary: float | None
    threads: int | None = None

    def to_reading(self) -> Reading:
        """Plain values for telemetry, rounded; figures that are not known are left out."""
        reading = Reading(cores=round(self.cores, 4))
        if self.waited is not None:
            reading["waited"] = round(self.waited, 4)
        if self.stolen is not None:
            reading["stolen"] = round(self.stolen, 4)
        if self.involuntary is not None:
            reading["involuntary"] = round(self.involuntary, 1)
        if self.threads is not None:
            reading["threads"] = self.threads
        return reading


@dataclass(frozen=True, slots=True)
class _Counters:
    wall: float
    cpu: float
    ran: dict[str, int]
    delay: dict[str, int] | None
    steal: float | None
    involuntary: int


class CpuMeter:
    """Reads counters at the start of a block and makes a :class:`CpuReading` at its end; costs about 0.1 ms each."""

    def __init__(self) -> None:
        self._start = _read()

    def start(self) -> None:
        """Begin a block."""
        self._start = _read()

    def stop(self) -> CpuReading:
        """The reading since the start."""
        first, last = self._start, _read()
        wall = max(1e-9, last.wall - first.wall)
        waited = None
        if first.delay is not None and last.delay is not None:
            # A thread that began or ended meanwhile is no part of a warm pool.
            shared = first.delay.keys() & last.delay.keys()
            waited = sum(last.delay[thread] - first.delay[thread] for thread in shared) * 1e-9 / wall
        stolen = None if first.steal is None or last.steal is None else (last.steal - first.steal) / wall
        switches = (last.involuntary - first.involuntary) / wall
        ran = [last.ran[thread] - first.ran[thread] for thread in first.ran.keys() & last.ran.keys()]
        busiest = max(ran, default=0)
        threads = sum(spent >= TAKES_PART * busiest for spent in ran) if busiest else None
        return CpuReading(wall, (last.cpu - first.cpu) / wall, waited, stolen, switches, threads)


def why_starved(reading: CpuReading, expected_cores: float | None = None) -> str | None:
    """Why a block says little about its layer: its threads had to wait for a core; ``None`` if they had not.

    Args:
        expected_cores: what the case's best blocks used (:func:`expected`); only used where waiting is not counted.
    """
    if reading.waited is not None and reading.waited > MOST_WAITED:
        return f"its threads waited {reading.waited:.0%} of the time for a core"
    if reading.stolen is not None and _stolen(reading.stolen, reading.wall):
        return f"the hypervisor took cores away for {reading.stolen:.0%} of the time"
    if reading.waited is None and expected_cores and reading.cores < LEAST_CORES * expected_cores:
        pushed = reading.involuntary is None or reading.involuntary >= LEAST_SWITCHES_PER_SECOND
        return f"it ran on {reading.cores:.2f} cores, {expected_cores:.2f} in its best blocks" if pushed else None
    return None


def keeps_starved() -> bool:
    """Whether blocks are kept although their threads had to wait for a core."""
    return os.environ.get(KEEP_STARVED, "0") not in ("", "0")


def expected_cores(readings: Iterable[CpuReading]) -> float | None:
    """Cores in use in a case's best blocks: the upper quartile of its readings; ``None`` for fewer than four."""
    cores = sorted(reading.cores for reading in readings)
    return cores[(3 * len(cores)) // 4] if len(cores) >= 4 else None


def _stolen(share: float, wall: float) -> bool:
    return share > MOST_STOLEN and share * wall * _ticks() >= STEAL_TICKS - 0.5


def _read() -> _Counters:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ran, delays = _ran_and_delays()
    return _Counters(time.perf_counter(), time.process_time(), ran, delays, _steal(), usage.ru_nivcsw)


def _ran_and_delays() -> tuple[dict[str, int], dict[str, int] | None]:
    """Nanoseconds that each thread of this process has run, and has waited for a core (``None``: not counted)."""
    ran: dict[str, int] = {}
    delays: dict[str, int] = {}
    try:
        for thread in os.listdir(TASKS):  # noqa: PTH208 - a path object per thread would double the cost
            try:
                with open(f"{TASKS}/{thread}/schedstat", "rb") as file:  # noqa: PTH123
                    ran_for, waited_for = file.read().split()[:2]
                    ran[thread], delays[thread] = int(ran_for), int(waited_for)
            except FileNotFoundError:
                # It has ended since, or the kernel was built without the count.
                continue
    except (OSError, ValueError, IndexError):
        return {}, None
    return ran, delays or None


def _steal() -> float | None:
    """Seconds that all cores of this machine were taken away since it started."""
    try:
        with STAT.open("rb") as file:
            return int(file.readline().split()[8]) / _ticks()
    except (OSError, ValueError, IndexError):
        return None


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")
