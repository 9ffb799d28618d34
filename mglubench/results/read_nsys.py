"""Kernel time per case and launch gaps out of a timeline: the SQLite export of Nsight Systems. Needs no GPU, no nsys.

Made with ``nsys export --type sqlite REPORT.nsys-rep``. ``NVTX_EVENTS`` (names in ``text``, or by ``textId`` in
``StringIds``) holds the ranges, ``CUPTI_ACTIVITY_KIND_RUNTIME`` the calls, whose ``correlationId`` leads to
``CUPTI_ACTIVITY_KIND_KERNEL``, or to ``..._GRAPH_TRACE`` where graphs were recorded as one piece. Times are
nanoseconds. Tables are made lazily: one that is missing held nothing; older exports lack columns; merged ones have
tables with suffixes. Source: Nsight Systems, "SQLite Schema Reference".
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mglubench.errors import UsageError
from mglubench.hardware.counter_names import DOMAIN, TIMED, is_key
from mglubench.results.open_sqlite import open_sqlite
from mglubench.results.timeline import THREAD_BITS, Events, Launch, NvtxRange, Orphan, Timeline, timelines

NVTX, CALLS = "NVTX_EVENTS", "CUPTI_ACTIVITY_KIND_RUNTIME"
KERNELS, GRAPHS = "CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
NEEDED = {
    NVTX: ("start", "end"),
    CALLS: ("start", "correlationId"),
    KERNELS: ("start", "end", "correlationId"),
    GRAPHS: ("start", "end", "correlationId"),
}
# Push/pop and start/end ranges; 70 and 71 are those of text imports.
PUSH_POP, START_END, DOMAIN_CREATE = (59, 70), (60, 71), 75
_TRACE = "record with: nsys profile --trace=cuda,nvtx"

_Calls = dict[Any, list[tuple[int, int, int]]]


@dataclass(frozen=True, slots=True)
class NsysReport:
    """What a timeline holds: timelines by case key, and why there is none where there is none."""

    cases: dict[str, Timeline]
    why_empty: str = ""


def read_sqlite(path: Path) -> dict[str, Timeline]:
    """Timelines by case key; a case whose range held no kernel has zero of them.

    Raises:
        UsageError: no SQLite file, or not an export of Nsight Systems.
    """
    return read_nsys(path).cases


def read_nsys(path: Path) -> NsysReport:
    """Timelines by case key, and why there is none.

    Raises:
        UsageError: no SQLite file, or not an export of Nsight Systems.
    """
    if not path.is_file():
        raise UsageError(f"cannot read {path}: there is no such file")
    with open_sqlite(path) as database:
        export = _Export(path, database)
        cases: dict[str, Timeline] = {}
        for suffix in export.suffixes():
            found = timelines(export.events(suffix))
            for key, timeline in found.items():
                cases[key] = _joined(cases[key], timeline) if key in cases else timeline
        return NsysReport(cases, "" if cases else export.why_empty())


def _joined(one: Timeline, other: Timeline) -> Timeline:
    """A case that two parts of an export hold: what one of them knows of it, if the other knows nothing."""
    known = [timeline for timeline in (one, other) if timeline.kernels or timeline.graphs]
    if len(known) < 2:
        return known[0] if known else one
    several = "several parts of this export hold kernels of this case: export and import them one by one"
    return Timeline(None, (one.kernels or 0) + (other.kernels or 0), None, reason=several)


class _Export:
    """The tables of one file."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path, self._database = path, database
        found = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        self._columns = {name: self._columns_of(name) for (name,) in found.fetchall()}
        if not self._columns:
            raise UsageError(f"{path} is an empty database: nsys export was stopped, or wrote elsewhere; export again")
        if not any(name.startswith((NVTX, "CUPTI_ACTIVITY_KIND_", "StringIds")) for name in self._columns):
            raise UsageError(f"{path} is no export of Nsight Systems: it has no table StringIds")
        if "CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL" in self._columns or "StringTable" in self._columns:
            raise UsageError(f"{path} is nvprof's database, not an export of Nsight Systems: record with nsys")

    def suffixes(self) -> list[str]:
        """Ends of table names: none in an ordinary export, one a part where parts were merged."""
        device = (CALLS, KERNELS, GRAPHS)
        ends = {name.removeprefix(table) for table in device for name in self._suffixed(table)}
        if any(table in self._columns for table in device):
            return ["", *sorted(end for end in ends if re.fullmatch("_?[0-9]+", end))]
        single = all(len(self._suffixed(table)) <= 1 for table in device)
        return [""] if single else sorted(ends)

    def events(self, suffix: str) -> Events:
        """Ranges and launches of one part.

        Raises:
            UsageError: a table lacks a column that cannot be done without.
        """
        threads = all("globalTid" in self._columns.get(self._name(t, suffix), {"globalTid"}) for t in (NVTX, CALLS))
        ranges, broken, torn = self._ranges(suffix, threads)
        calls = self._calls(suffix, threads)
        launches: list[Launch] = []
        orphans: list[Orphan] = []
        seen: set[tuple[int, Any]] = set()
        for table, graph in ((KERNELS, False), (GRAPHS, True)):
            for start, end, correlation, process in self._select(table, suffix, NEEDED[table], "globalPid"):
                called = _call_of(calls.get(correlation, []), process, threads)
                earliest = called[0] if called else 0
                usable = _whole(start) and _whole(end) and 0 < start < end and end > earliest
                span = (start, end) if usable else None
                seen.add((called[1] >> THREAD_BITS if called else 0, correlation))
                if called is None:
                    orphans.append(
                        Orphan(span[0] if span else None, _process(process) if threads and process else None)
                    )
                else:
                    launches.append(Launch(called[0], called[1], span, graph))
        note = self._note(suffix)
        if note:
            return Events(ranges, launches, broken, torn=torn, note=note)
        return Events(ranges, launches, broken, orphans, torn, self._lost(suffix, calls, seen))

    def why_empty(self) -> str:
        """Why no case has a range."""
        tables = {table for table in NEEDED for name in self._columns if name.startswith(table)}
        kernels = self._count(KERNELS) + self._count(GRAPHS)
        if not tables:
            return f"recorded neither CUDA nor NVTX: {_TRACE}"
        if NVTX not in tables:
            return f"recorded no NVTX ranges ({kernels} kernels belong to nothing): {_TRACE}"
        if not kernels:
            return f"has neither kernels nor a range that is named by a case: {_TRACE}"
        return f"has {kernels} kernels, but no range that is named by a case: was mglubench profiled?"

    def _note(self, suffix: str) -> str:
        """What is missing for every case."""
        has = {table: self._name(table, suffix) in self._columns for table in NEEDED}
        if not has[KERNELS] and not has[GRAPHS]:
            return f"no CUDA kernel was recorded at all: {_TRACE}"
        if not has[CALLS]:
            return f"the report has kernels but no calls (no table {CALLS}): {_TRACE}"
        return ""

    def _ranges(self, suffix: str, threads: bool) -> tuple[list[NvtxRange], dict[str, str], list[Orphan]]:
        table = self._name(NVTX, suffix)
        if table not in self._columns:
            return [], {}, []
        self._require(table, NEEDED[NVTX])
        columns = self._columns[table]
        text, join = "n.text" if "text" in columns else "NULL", ""
        if "textId" in columns and (strings := self._strings(suffix)):
            text, join = f"COALESCE(NULLIF({text}, ''), s.value)", f'LEFT JOIN "{strings}" AS s ON n.textId = s.id'
        kind, thread, domain = (f"n.{c}" if c in columns else "NULL" for c in ("eventType", "globalTid", "domainId"))
        rows = self._database.execute(
            f'SELECT n.start, n."end", {kind}, {thread}, {domain}, {text} FROM "{table}" AS n {join} '
            f"WHERE {text} = ? OR {text} = ? OR {text} LIKE '%/seed%'",
            (TIMED, DOMAIN),
        ).fetchall()
        ours = {(_process(row[3]), row[4]) for row in rows if row[2] == DOMAIN_CREATE and row[5] == DOMAIN}
        named = {process for process, _ in ours}
        ranges: list[NvtxRange] = []
        broken: dict[str, str] = {}
        torn: list[Orphan] = []
        for start, end, event, tid, number, name in rows:
            known = event in (*PUSH_POP, *START_END) or event is None
            stranger = _process(tid) in named and (_process(tid), number) not in ours
            if not known or stranger or not isinstance(name, str) or not (is_key(name) or name == TIMED):
                continue
            if not _whole(start) or not _whole(end) or end < start or not (isinstance(tid, int) or not threads):
                ended = "its range has no end in the report: the recording stopped before it, or it crashed"
                reason = ended if end is None else "a range of it ends before it begins, or has no time"
                if is_key(name):
                    broken.setdefault(name, reason)
                else:
                    process = _process(tid) if threads and isinstance(tid, int) else None
                    torn.append(Orphan(start if _whole(start) and end is None else None, process))
                continue
            ranges.append(NvtxRange(start, end, tid if threads else 0, name, event in START_END))
        return ranges, broken, torn

    def _calls(self, suffix: str, threads: bool) -> _Calls:
        """Call time, thread and process by correlation id, of calls that have a time."""
        calls: _Calls = {}
        for start, correlation, tid, end in self._select(CALLS, suffix, NEEDED[CALLS], "globalTid", "end"):
            usable = _whole(start) and start > 0 and (end is None or (_whole(end) and end >= start))
            if usable and _whole(correlation) and (isinstance(tid, int) or not threads):
                thread = tid if threads else 0
                calls.setdefault(correlation, []).append((start, thread, thread >> THREAD_BITS))
        return calls

    def _lost(self, suffix: str, calls: _Calls, seen: set[tuple[int, Any]]) -> list[tuple[int, int]]:
        """Calls that launch a kernel and left none; not where a graph was captured, as such calls leave none."""
        table, strings = self._name(CALLS, suffix), self._strings(suffix)
        if not strings or "nameId" not in self._columns.get(table, ()):
            return []
        failed = "AND c.returnValue = 0" if "returnValue" in self._columns[table] else ""
        joined = f'"{table}" AS c JOIN "{strings}" AS s ON c.nameId = s.id WHERE s.value LIKE ?'
        query = f"SELECT c.correlationId FROM {joined}"
        if self._database.execute(f"{query} LIMIT 1", ("%BeginCapture%",)).fetchone():
            return []
        launched = {correlation for (correlation,) in self._database.execute(f"{query} {failed}", ("%LaunchKernel%",))}
        return [
            (start, thread)
            for correlation in launched
            for start, thread, process in calls.get(correlation, [])
            if (process, correlation) not in seen
        ]

    def _select(self, table: str, suffix: str, needed: tuple[str, ...], *optional: str) -> Iterator[tuple[Any, ...]]:
        name = self._name(table, suffix)
        if name not in self._columns:
            return
        self._require(name, needed)
        quoted = [f'"{column}"' for column in needed]
        quoted += [f'"{column}"' if column in self._columns[name] else "NULL" for column in optional]
        # A record that is there twice, in all of its columns, is one record.
        yield from self._database.execute(f'SELECT {", ".join(quoted)} FROM (SELECT DISTINCT * FROM "{name}")')

    def _strings(self, suffix: str) -> str:
        return next((n for n in (f"StringIds{suffix}", "StringIds") if self._has(n, ("id", "value"))), "")

    def _name(self, table: str, suffix: str) -> str:
        """A part's own table, else the one that all parts share, else the only one that is called so."""
        for name in (f"{table}{suffix}", table):
            if name in self._columns:
                return name
        others = self._suffixed(table)
        return others[0] if len(others) == 1 else f"{table}{suffix}"

    def _suffixed(self, table: str) -> list[str]:
        named = [name for name in self._columns if re.fullmatch(rf"{table}(_?[0-9]+|_\w+)", name)]
        return sorted(name for name in named if self._has(name, NEEDED[table]))

    def _has(self, table: str, columns: tuple[str, ...]) -> bool:
        return set(columns) <= self._columns.get(table, set())

    def _require(self, table: str, columns: tuple[str, ...]) -> None:
        lacking = [column for column in columns if column not in self._columns[table]]
        if lacking:
            raise UsageError(f"{self._path} cannot be used: table {table} has no column {lacking[0]}; export it again")

    def _count(self, table: str) -> int:
        names = [name for name in self._columns if name.startswith(table)]
        return sum(self._database.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in names)

    def _columns_of(self, table: str) -> set[str]:
        quoted = table.replace('"', '""')
        return {row[1] for row in self._database.execute(f'PRAGMA table_info("{quoted}")')}


def _whole(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _process(thread: object) -> int:
    return thread >> THREAD_BITS if isinstance(thread, int) else 0


def _call_of(calls: list[tuple[int, int, int]], process: object, threads: bool) -> tuple[int, int] | None:
    """The first call with a kernel's correlation id, in its process; ids repeat in others."""
    own = [
        (start, thread)
        for start, thread, of in calls
        if not threads or not isinstance(process, int) or process >> THREAD_BITS == of
    ]
    return min(own, default=None)
