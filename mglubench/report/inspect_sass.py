"""The table of ``mglubench inspect``; what its rows hold and how they are found is in ``kernels/inspect.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mglubench.report.table import NM, VARIANT, Column, Table, named, number, text

NOTES = (
    "instructions per element: warp instructions of the main loop / weight elements per pass of it, from SASS",
    "loads: global loads of the main loop by bytes per lane; occupancy is theoretical",
)


def inspect_table(rows: Sequence[dict[str, str | int | float]]) -> Table:
    """One line per kernel of each subject."""
    return Table("Compiled kernels", _COLUMNS, list(rows), NOTES, best="entry")


def _kernel(row: Mapping[str, object]) -> str:
    return str(row.get("kernel") or row.get("reason", ""))


def _loads(row: Mapping[str, object]) -> str:
    if "loads_16" not in row:
        return "-"
    parts = [("16 B", "loads_16"), ("8 B", "loads_8"), ("4 B", "loads_4"), ("<4 B", "loads_less")]
    found = [f"{row[key]} x {size}" for size, key in parts if row[key]]
    if row["shared_loads_16"]:
        found.append(f"{row['shared_loads_16']} x 16 B shared")
    return ", ".join(found)


_COLUMNS = (
    VARIANT,
    named("arch"),
    NM,
    named("dtype"),
    Column("kernel", "kernel", _kernel, text=True, spare=7),
    Column("registers", "registers", number("registers", ".0f"), spare=1),
    Column("local_bytes", "spilled (B)", number("local_bytes", ".0f"), spare=2),
    Column("shared_bytes", "shared (KB)", number("shared_bytes", ".1f", 1 / 1024)),
    Column("occupancy", "occupancy", number("occupancy", ".0%")),
    Column("limited_by", "limited by", text("limited_by"), text=True, spare=8),
    Column("instructions_per_element", "instructions / element", number("instructions_per_element", ".3f")),
    Column("loads_16", "loads per pass", _loads, text=True, spare=9, prose=True),
    Column("hmma", "HMMA per pass", number("hmma", ".0f")),
)
