"""What a profiler said of a case, joined to it by its key, as rows of ``counters.jsonl``.

A row holds one tool's word on one case: its figures, or why there are none. A later row replaces an earlier one of the
same tool and case, except that a failure never hides figures that were read before. Profiled durations have columns of
their own: a profiler serialises kernels and flushes caches, so they are no latencies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mglubench.errors import UsageError
from mglubench.hardware.counter_names import COLUMNS, Kernel, by_key, combine
from mglubench.results.read_ncu import read_csv
from mglubench.results.read_ncu_rep import read_report
from mglubench.results.read_nsys import read_sqlite
from mglubench.results.rows import CounterRow, Fact
from mglubench.results.store import read_counters
from mglubench.results.timeline import Timeline
from mglubench.status import Status

NOT_PROFILED = "not profiled"
NSYS_COLUMNS = ("nsys_kernel_us", "nsys_kernels", "nsys_gap_us", "nsys_launches")
FRAME_COLUMNS = (*COLUMNS, "ncu_kernels", *NSYS_COLUMNS)
NO_KERNEL_REASON = (
    "no kernel matched: none ran in the range of this case; was it profiled with --nvtx, and on a CUDA device?"
)

# What a report holds for one case.
Found = Sequence[Kernel] | Timeline


def read_profile(path: Path) -> tuple[str, dict[str, Found]]:
    """The tool that wrote a report, and what it holds by case key: lists of :class:`Kernel`, or :class:`Timeline`.

    Raises:
        UsageError: not a report that can be read. UnavailableError: it needs a package that is not installed.
    """
    if not path.is_file():
        raise UsageError(f"cannot read {path}: there is no such file")
    if path.suffix == ".sqlite":
        return "nsys", dict(read_sqlite(path))
    if path.suffix == ".ncu-rep":
        return "ncu", dict(by_key(read_report(path)))
    if path.suffix == ".csv":
        return "ncu", dict(by_key(read_csv(path)))
    if path.suffix in (".nsys-rep", ".qdrep"):
        raise UsageError(f"export {path.name} first: nsys export --type sqlite {path.name}")
    raise UsageError(f"cannot import {path.name!r}; use a file that ends in .ncu-rep, .csv or .sqlite")


def joined_row(tool: str, key: str, found: Found | None, how: Mapping[str, Fact]) -> CounterRow:
    """The row of one case from what a report holds for it: ``ok``, or ``no-kernel``."""
    if isinstance(found, Timeline):
        return _timeline_row(tool, key, found, how)
    if not found:
        return failed_row(tool, key, Status.NO_KERNEL, NO_KERNEL_REASON, how)
    launches = _launches(how) or 1
    if len(found) % launches:
        reason = f"{len(found)} kernels in the range of this case are not those of {launches} launches"
        return failed_row(tool, key, Status.ERROR, reason, how)
    counted = combine(found, launches)
    missing = [column for column, value in counted.items() if value is None]
    reason = f"no value for {', '.join(missing)}: not counted on this chip, or withheld (MIG)" if missing else ""
    if len(missing) == len(counted):
        return failed_row(tool, key, Status.NO_VALUE, reason, how)
    figures = {**counted, "ncu_kernels": len(found) // launches}
    return CounterRow(key, tool, Status.OK, reason, figures, [kernel.name for kernel in found], dict(how))


def _timeline_row(tool: str, key: str, found: Timeline, how: Mapping[str, Fact]) -> CounterRow:
    if not found.kernels:
        return failed_row(tool, key, Status.NO_KERNEL, NO_KERNEL_REASON, how)
    figures = {**found.to_dict(), "nsys_launches": _launches(how)}
    return CounterRow(key, tool, Status.OK, figures=figures, how=dict(how))


def _launches(how: Mapping[str, Fact]) -> int | None:
    launches = how.get("launches")
    return launches if isinstance(launches, int) else None


def failed_row(tool: str, key: str, status: Status, reason: str, how: Mapping[str, Fact]) -> CounterRow:
    """A row that says why there are no figures."""
    return CounterRow(key, tool, status, reason, how=dict(how))


def latest(rows: Iterable[CounterRow]) -> dict[str, dict[str, CounterRow]]:
    """Rows by tool and key: the last one with figures, else the last one."""
    kept: dict[str, dict[str, CounterRow]] = {}
    for row in rows:
        by_tool = kept.setdefault(row.tool, {})
        if row.status == Status.OK or by_tool.get(row.key, row).status != Status.OK:
            by_tool[row.key] = row
    return kept


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
