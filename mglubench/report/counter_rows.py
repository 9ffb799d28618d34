"""What a profiler said of each case, as a table: counters of ncu, or kernel time and gaps of nsys."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.report.table import NM, VARIANT, Column, Table, named, number, prose
from mglubench.results.rows import CounterRow
from mglubench.status import Status

_CASE = (
    VARIANT,
    prose("setting", spare=3),
    NM,
)
_WHY = (
    named("status"),
    prose("reason"),
)
NCU = (
    *_CASE,
    Column("ncu_kernels", "kernels", number("ncu_kernels", ".0f")),
    Column("dram_bytes_read", "DRAM read MB", number("dram_bytes_read", ",.2f", 1e-6), spare=1),
    Column("dram_bytes_written", "written MB", number("dram_bytes_written", ",.2f", 1e-6)),
    Column("l2_bytes_read", "L2 read MB", number("l2_bytes_read", ",.2f", 1e-6)),
    Column("l2_bytes_written", "written MB", number("l2_bytes_written", ",.2f", 1e-6)),
    Column("l2_hit_percent", "L2 hit %", number("l2_hit_percent", ".1f")),
    Column("dram_percent", "DRAM %", number("dram_percent", ".1f")),
    Column("sm_percent", "SM %", number("sm_percent", ".1f")),
    Column("ncu_duration_us", "under ncu us", number("ncu_duration_us", ",.1f")),
    *_WHY,
)
NSYS = (
    *_CASE,
    Column("nsys_launches", "launches", number("nsys_launches", ".0f")),
    Column("nsys_kernels", "kernels", number("nsys_kernels", ".0f")),
    Column("nsys_kernel_us", "kernel us", number("nsys_kernel_us", ",.1f"), spare=1),
    Column("launch_us", "per launch us", number("launch_us", ",.1f")),
    Column("nsys_gap_us", "gap us", number("nsys_gap_us", ",.2f")),
    *_WHY,
)
# Where CUDA graphs were recorded as one piece.
_GRAPHS = (
    Column("nsys_graphs", "graphs", number("nsys_graphs", ".0f")),
    Column("nsys_graph_us", "graph us", number("nsys_graph_us", ",.1f")),
)
_NOTES = {
    "ncu": "one run per case, its kernels added up; under ncu kernels are serialised and caches flushed: no latency",
    "nsys": "kernel: device time of all kernels in the case's range; gap: median time between two of them",
}


def counters_table(rows: Sequence[CounterRow], tool: str) -> Table:
    """One line per case, in the order of profiling; a failure with its reason."""
    columns: Sequence[Column] = NCU if tool == "ncu" else NSYS
    if any(row.figures.get("nsys_graphs") for row in rows):
        columns = (*NSYS[: -len(_WHY)], *_GRAPHS, *_WHY)
    notes = [_NOTES[tool]]
    if any(row.status == Status.PARTIAL for row in rows):
        notes.append("partial: figures that are shown were read; the reason says which are lacking, and why")
    return Table(f"Profiled with {tool}", columns, [_shown(row) for row in rows], notes)


def _shown(row: CounterRow) -> dict[str, object]:
    variant, shape, nm, *rest = row.key.split("/")
    figures = row.figures
    launches, kernels = figures.get("nsys_launches"), figures.get("nsys_kernel_us")
    return {
        "key": row.key,
        "variant": variant,
        "setting": " ".join((shape, *rest[:-1])),
        "nm": nm.removeprefix("nm").replace("0", "") if nm == "nm0" else nm.removeprefix("nm"),
        **figures,
        "launch_us": kernels / launches if kernels is not None and launches else None,
        "status": row.status,
        "reason": row.reason,
    }
