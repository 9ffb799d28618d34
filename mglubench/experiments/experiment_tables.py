"""What a stored experiment prints."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.experiments.conversion_tables import conversion_table
from mglubench.experiments.loss_tables import loss_table, pair_table, rate_table
from mglubench.experiments.mask_tables import mask_tables
from mglubench.experiments.trial import Row
from mglubench.experiments.trial_record import Header
from mglubench.report.table import Table


def all_tables(header: Header, rows: Sequence[Row]) -> list[Table]:
    """The tables of its kind, as far as there are rows for them."""
    if header.experiment == "convert":
        tables = [conversion_table(header, rows), rate_table(header, rows)]
    else:
        losses = [loss_table(header, rows), pair_table(header, rows), rate_table(header, rows)]
        masks = mask_tables(header, rows)
        tables = [*masks, *losses] if header.experiment == "masks" else [*losses, *masks]
    return [table for table in tables if table and table.rows]


def heading(header: Header) -> list[str]:
    """Where and on what it ran."""
    environment, corpus = header.environment, header.corpus
    packages = environment["packages"]
    assert isinstance(packages, dict)
    sizes = ", ".join(f"{size:,} bytes {part}" for part, size in corpus.bytes.items())
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "mglubench") if name in packages)
    return [
        f"{corpus.name}: {corpus.documents} distinct documents, {sizes}, sha256 {corpus.sha256[:16]}",
        f"begun {environment['time']}; python {environment['python']}, {versions}",
    ]
