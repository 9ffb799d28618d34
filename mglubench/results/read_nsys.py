"""Kernel time per case and launch gaps out of a timeline: the SQLite export of Nsight Systems. Needs no GPU, no nsys.

Made with ``nsys export --type sqlite REPORT.nsys-rep``. A kernel belongs to the range in which its launch was called:
``NVTX_EVENTS`` (names in ``text``, or by ``textId`` in ``StringIds``) encloses a call on the same thread in
``CUPTI_ACTIVITY_KIND_RUNTIME``, whose ``correlationId`` leads to ``CUPTI_ACTIVITY_KIND_KERNEL``. Times are nanoseconds.
Tables are made lazily: one that is missing held nothing. Source: Nsight Systems, "SQLite Schema Reference".
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from mglubench.errors import UsageError
from mglubench.hardware.counter_names import TIMED, is_key

# Ids of processes occupy the upper bits of globalTid and globalPid; the low 24 are the thread.
THREAD_BITS = 24
PUSH_POP, START_END = 59, 60

_RANGES = """
    SELECT n.start, n."end", n.globalTid, COALESCE(n.text, s.value)
    FROM NVTX_EVENTS AS n LEFT JOIN StringIds AS s ON n.textId = s.id
    WHERE n.eventType IN (?, ?) AND n."end" IS NOT NULL
"""
_KERNELS = """
    SELECT k.rowid, r.start, r.globalTid, k.start, k."end" {pid}
    FROM CUPTI_ACTIVITY_KIND_KERNEL AS k JOIN CUPTI_ACTIVITY_KIND_RUNTIME AS r ON k.correlationId = r.correlationId
    ORDER BY k.start
"""


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a timeline says of one case.

    Attributes:
        kernel_us: device time of all its kernels together, microseconds. kernels: how many ran.
        gap_us: median time between the end of a kernel and the start of the next in the same range; ``None`` if every
            range held one kernel.
    """

    kernel_us: float
    kernels: int
    gap_us: float | None

    def to_dict(self) -> dict[str, int | float | None]:
        """Stored figures, by frame column."""
        return {"nsys_kernel_us": self.kernel_us, "nsys_kernels": self.kernels, "nsys_gap_us": self.gap_us}


@dataclass(frozen=True, slots=True)
class _Range:
    """A closed interval of one thread."""

    start: int
    end: int
    thread: int
    name: str


_Span = tuple[int, int]


def read_sqlite(path: Path) -> dict[str, Timeline]:
    """Timelines by case key; a case whose range held no kernel has zero of them.

    Raises:
        UsageError: no SQLite file, or not an export of Nsight Systems.
    """
    if not path.is_file():
        raise UsageError(f"cannot read {path}: there is no such file")
    try:
        with closing(sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            if "StringIds" not in tables:
                raise UsageError(f"{path} is no export of Nsight Systems: it has no table StringIds")
            ranges = _ranges(database) if "NVTX_EVENTS" in tables else []
            wanted = {"CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME"}
            launches = _launches(database) if wanted <= tables else []
    except sqlite3.Error as error:
        raise UsageError(f"{path} is no SQLite export of Nsight Systems: {error}") from None
    return timelines(ranges, launches)


def _ranges(database: sqlite3.Connection) -> list[_Range]:
    found = database.execute(_RANGES, (PUSH_POP, START_END))
    return [_Range(*row) for row in found if row[3] is not None and (is_key(row[3]) or row[3] == TIMED)]


def _launches(database: sqlite3.Connection) -> list[tuple[int, int, int, int]]:
    """Call time, thread, kernel start and end; a correlation id is unique within its process, and a kernel ran once."""
    columns = {row[1] for row in database.execute("PRAGMA table_info(CUPTI_ACTIVITY_KIND_KERNEL)")}
    pid = ", k.globalPid" if "globalPid" in columns else ", NULL"
    launches: dict[int, tuple[int, int, int, int]] = {}
    for kernel, called, thread, start, end, process in database.execute(_KERNELS.format(pid=pid)):
        if process is None or process >> THREAD_BITS == thread >> THREAD_BITS:
            launches.setdefault(kernel, (called, thread, start, end))
    return list(launches.values())


def timelines(ranges: Iterable[_Range], launches: Sequence[tuple[int, int, int, int]]) -> dict[str, Timeline]:
    """Put kernels into the timed ranges of their cases, or into the case's range where it has no timed one."""
    everything = sorted(ranges, key=lambda found: found.start)
    timed: dict[int, list[_Range]] = {}
    for found in everything:
        if found.name == TIMED:
            timed.setdefault(found.thread, []).append(found)
    by_thread: dict[int, list[tuple[int, int, int]]] = {}
    for called, thread, start, end in sorted(launches):
        by_thread.setdefault(thread, []).append((called, start, end))
    calls = {thread: [launch[0] for launch in found] for thread, found in by_thread.items()}

    def kernels_in(where: _Range) -> list[_Span]:
        at = calls.get(where.thread, [])
        inside = slice(bisect_right(at, where.start - 1), bisect_right(at, where.end))
        return sorted((start, end) for _, start, end in by_thread.get(where.thread, [])[inside])

    whole: dict[str, list[_Range]] = {}
    phases: dict[str, list[_Range]] = {}
    for case in everything:
        if is_key(case.name):
            whole.setdefault(case.name, []).append(case)
            phases.setdefault(case.name, []).extend(_inside(case, timed.get(case.thread, [])))
    return {key: _timeline([kernels_in(r) for r in phases[key] or found]) for key, found in whole.items()}


def _inside(case: _Range, timed: Sequence[_Range]) -> list[_Range]:
    """The timed ranges within a case's range; ``timed`` is sorted by start and of the same thread."""
    first = bisect_right(timed, case.start - 1, key=lambda found: found.start)
    last = bisect_right(timed, case.end, key=lambda found: found.start)
    return [found for found in timed[first:last] if found.end <= case.end]


def _timeline(ranges: Sequence[Sequence[_Span]]) -> Timeline:
    kernels = [span for spans in ranges for span in spans]
    gaps = [max(0, after[0] - before[1]) for spans in ranges for before, after in pairwise(spans)]
    return Timeline(
        kernel_us=sum(end - start for start, end in kernels) / 1e3,
        kernels=len(kernels),
        gap_us=median(gaps) / 1e3 if gaps else None,
    )
