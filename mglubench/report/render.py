"""Tables to a terminal (rich), markdown, or plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping

from mglubench.report.fit import Fit, fit
from mglubench.report.grid import Grid
from mglubench.report.table import LONGEST_CELL, Table, missing
from mglubench.system.plain_text import plain


def to_rich(table: Table, fitted: Fit | None = None) -> Grid:
    """The grid of a table for a terminal, without title and notes; rows marked best are bold, failed ones dim.

    Args:
        fitted: which columns, and how wide; all of them, whole, if left out.
    """
    return Grid(table, fitted or fit(table))


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured table under its title, rows marked best in bold."""
    rule = ["---" if column.text else "---:" for column in table.columns]
    lines = [f"### {escaped(table.title)}", "", _line([escaped(c.title) for c in table.columns]), _line(rule)]
    for row in table.rows:
        cells = [escaped(cell) for cell in table.cells(row)]
        if table.best and row.get(table.best):
            cells = [f"**{cell}**" if cell else "" for cell in cells]
        lines.append(_line(cells))
    if table.notes:
        lines += ["", *(f"{escaped(note)}  " for note in table.notes)]
    return "\n".join(lines) + "\n"


def to_plain(table: Table) -> dict[str, object]:
    """For JSON: raw values under column keys, missing ones null."""
    return {"title": table.title, "rows": [_values(row) for row in table.rows], "notes": list(table.notes)}


def _values(row: Mapping[str, object]) -> dict[str, object]:
    return {key: None if missing(value) else value for key, value in row.items()}


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escaped(text: str) -> str:
    """A line that is text in markdown, whatever it holds."""
    return plain(text, LONGEST_CELL).replace("|", "\\|").replace("<", "&lt;")
