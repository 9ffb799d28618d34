"""The workers of a fleet as a table."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.report.table import Column, Row, Table, named, number, prose, text


def fleet_table(workers: Sequence[Row]) -> Table:
    """One row per worker."""
    columns = (
        named("host"),
        prose("device"),
        Column("uuid", "UUID", text("uuid"), text=True),
        Column("power_limit_watts", "limit W", number("power_limit_watts", ",.0f"), spare=2),
        Column("driver", "driver", text("driver"), text=True, spare=3),
        Column("python", "python", text("python"), text=True, spare=5),
        Column("torch", "torch", text("torch"), text=True, spare=4),
        Column("digest", "mglubench", text("digest"), text=True, spare=1),
        named("health"),
    )
    return Table("Fleet", columns, workers)
