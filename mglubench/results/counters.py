"""What a profiler said of a case, joined to it by its key, as rows of ``counters.jsonl``.

A row holds one tool's word on one case: its figures, or why there are none. A later row replaces an earlier one of the
same tool and case, except that a failure never hides figures that were read before. Profiled durations have columns of
their own: a profiler serialises kernels and flushes caches, so they are no latencies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mglubench.hardware.counter_names import COLUMNS, COUNTERS, Counter, Kernel, combine
from mglubench.results.profile_files import Found
from mglubench.results.rows import CounterRow, Fact
from mglubench.results.store import read_counters
from mglubench.results.timeline import Timeline
from mglubench.status import Status
from mglubench.system.plain_text import plain

# More than any sentence of ours needs.
LONGEST_REASON = 2000
NOT_PROFILED = "not profiled"
NSYS_COLUMNS = ("nsys_kernel_us", "nsys_kernels", "nsys_gap_us", "nsys_launches", "nsys_graphs", "nsys_graph_us")
FRAME_COLUMNS = (*COLUMNS, "ncu_kernels", *NSYS_COLUMNS)
NO_KERNEL = "no kernel matched"
NO_RANGE = "the report holds no range of this case; was it profiled with --nvtx, and on a CUDA device?"
EMPTY_RANGE = "its range is in the report, but no kernel was launched in it"


def joined_row(tool: str, key: str, found: Found | None, how: Mapping[str, Fact], why_none: str = "") -> CounterRow:
    """The row of one case from what a report holds for it.

    ``ok`` if all figures are there, ``partial`` if some are, else ``no-kernel``, ``no-value`` or ``error``.

    Args:
        tool: that wrote the report. key: of the case. found: what the report holds of it. how: kept in the row.
        why_none: why the report holds nothing of this case, if it does not.
    """
    if isinstance(found, Timeline):
        return _timeline_row(tool, key, found, how)
    if not found:
        return failed_row(tool, key, Status.NO_KERNEL, f"{NO_KERNEL}: {why_none or NO_RANGE}", how)
    launches = _launches(how) or 1
    if len(found) % launches:
        return failed_row(tool, key, Status.ERROR, _why_no_multiple(len(found), launches), how)
    counted = combine(found, launches)
    reason = _why_missing(found, [counter for counter in COUNTERS if counted[counter.column] is None])
    if not any(value is not None for value in counted.values()):
        return failed_row(tool, key, Status.NO_VALUE, reason, how)
    figures = {**counted, "ncu_kernels": len(found) // launches}
    status = Status.PARTIAL if reason else Status.OK
    return CounterRow(key, tool, status, reason, figures, [kernel.name for kernel in found], dict(how))


def doubted(row: CounterRow, error: str) -> CounterRow:
    """The row where its tool told of an error: no longer ok, as kernels may be missing from its sums."""
    if not error or not row.status.counted:
        return row
    reason = f"{row.tool} told of an error, so kernels may be missing: {error}"
    return replace(row, status=Status.PARTIAL, reason=f"{row.reason}; {reason}" if row.reason else reason)


def _timeline_row(tool: str, key: str, found: Timeline, how: Mapping[str, Fact]) -> CounterRow:
    launches = _launches(how)
    if not found.kernels and not found.graphs:
        return failed_row(tool, key, Status.NO_KERNEL, f"{NO_KERNEL}: {found.reason or EMPTY_RANGE}", how)
    if launches and found.kernels and found.kernels % launches:
        return failed_row(tool, key, Status.ERROR, _why_no_multiple(found.kernels, launches), how)
    figures = {**found.to_dict(), "nsys_launches": launches}
    status = Status.PARTIAL if found.reason else Status.OK
    return CounterRow(key, tool, status, found.reason, figures, how=dict(how))


def _why_no_multiple(kernels: int, launches: int) -> str:
    return f"{kernels} kernels in the range of this case are not those of {launches} launches"


def _why_missing(kernels: Sequence[Kernel], missing: Sequence[Counter]) -> str:
    """Which counters have no value, by why; empty if none is missing."""
    by_cause: dict[str, list[str]] = {}
    for counter in missing:
        by_cause.setdefault(_cause(kernels, counter), []).append(counter.column)
    return "; ".join(f"no value for {', '.join(columns)}: {cause}" for cause, columns in by_cause.items())


def _cause(kernels: Sequence[Kernel], counter: Counter) -> str:
    having = sum(any(name in kernel.metrics for name in counter.names) for kernel in kernels)
    if having == len(kernels):
        return "kernels whose times are not known cannot be weighed, or a figure is not finite"
    if having:
        return f"only {having} of {len(kernels)} kernels have it"
    if any(name in kernel.blank for kernel in kernels for name in counter.names):
        return "the report has no figure there (n/a): withheld (MIG), or not counted on this chip"
    return "not in the report: not asked for, not counted on this chip, or withheld (MIG)"


def _launches(how: Mapping[str, Fact]) -> int | None:
    launches = how.get("launches")
    return launches if isinstance(launches, int) else None


def failed_row(tool: str, key: str, status: Status, reason: str, how: Mapping[str, Fact]) -> CounterRow:
    """A row that says why there are no figures."""
    return CounterRow(key, tool, status, plain(reason, LONGEST_REASON), how=dict(how))


def latest(rows: Iterable[CounterRow]) -> dict[str, dict[str, CounterRow]]:
    """Rows by tool and key: the last one with all figures, else the last with some, else the last."""
    kept: dict[str, dict[str, CounterRow]] = {}
    for row in rows:
        by_tool = kept.setdefault(row.tool, {})
        if _completeness(row) >= _completeness(by_tool.get(row.key, row)):
            by_tool[row.key] = row
    return kept


def _completeness(row: CounterRow) -> int:
    """2 with all figures, 1 with some, else 0; rows from before there was ``partial`` are ok with a reason."""
    if not row.status.counted:
        return 0
    return 1 if row.status == Status.PARTIAL or row.reason else 2


def counter_columns(folder: Path) -> dict[str, dict[str, int | float | str | None]]:
    """Values of :data:`FRAME_COLUMNS` and ``counters_reason`` by case key, for every key that a profiler spoke of."""
    kept = latest(read_counters(folder))
    columns: dict[str, dict[str, int | float | str | None]] = {}
    for row in (row for rows in kept.values() for row in rows.values()):
        columns.setdefault(row.key, {}).update(row.figures)
    for key, values in columns.items():
        counted = kept.get("ncu", {}).get(key)
        values["counters_reason"] = counted.reason if counted else NOT_PROFILED
    return columns
