"""Threads of pools held on cores of their own, one block at a time.

Environment variables cannot do it where two OpenMP runtimes share a process: the first binds the main thread, the
second inherits a single core, and every time doubles. Here the threads that a launch keeps busy are found by their CPU
time, whatever library they belong to, and each is bound to a core for the length of a block. Between blocks every
thread may run anywhere, so that a pool that is made then inherits all cores.

Switched on by ``MGLUBENCH_PIN=1``; a row's clock says that threads were bound, and the run's record has the variable.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from mglubench.hardware.cpu_readings import TAKES_PART

PIN = "MGLUBENCH_PIN"
TASKS = Path("/proc/self/task")


def pins() -> bool:
    """Whether the user asked for threads to be bound to cores."""
    return os.environ.get(PIN, "0") not in ("", "0")


class Pinning:
    """Binds the threads that a launch uses; call :meth:`learn` once the launch is warm."""

    def __init__(self) -> None:
        self._cores = sorted(os.sched_getaffinity(0))
        self.threads: list[int] = []

    def learn(self, run: Callable[[], None]) -> None:
        """Find the threads that ``run`` keeps busy, the calling thread first, at most one per core."""
        before = _cpu_times()
        run()
        used = {thread: spent - before.get(thread, 0) for thread, spent in _cpu_times().items()}
        least = TAKES_PART * max(used.values(), default=0)
        own = threading.get_native_id()
        others = sorted((thread for thread in used if thread != own), key=lambda thread: -used[thread])
        self.threads = [own, *(thread for thread in others if used[thread] > max(0.0, least))][: len(self._cores)]

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Each thread on a core of its own inside, on any core again outside."""
        try:
            for thread, core in zip(self.threads, self._cores, strict=False):
                _bind(thread, {core})
            yield
        finally:
            for thread in self.threads:
                _bind(thread, set(self._cores))

    @property
    def words(self) -> str:
        """For a row's clock."""
        count = len(self.threads)
        return f"{count} thread{'s' if count != 1 else ''} bound to a core each"


def _bind(thread: int, cores: set[int]) -> None:
    # A thread that has ended, or a system that refuses: the block is then as it would be without.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(thread, cores)


def _cpu_times() -> dict[int, int]:
    """Nanoseconds that each thread of this process has run; empty where that is not counted."""
    found = {}
    for task in TASKS.glob("*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            found[int(task.name)] = int((task / "schedstat").read_bytes().split()[0])
    return found
