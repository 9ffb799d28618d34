"""The grid of a table for a rich console. Rich's own table measures and wraps every cell anew, ten times as slowly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from mglubench.report.fit import GAP, Fit
from mglubench.report.table import Row, Table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

HEADING, BEST, FAILED = "bold", "bold green", "dim"


class Grid:
    """Something for a rich console to print, in the columns and widths that were fitted."""

    def __init__(self, table: Table, fitted: Fit) -> None:
        self._table, self._fitted = table, fitted
        self._columns = [table.columns[number] for number in fitted.columns]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines."""
        from rich.segment import Segment

        for line, style in self._lines(console):
            yield Segment(line, console.get_style(style) if style else None)
            yield Segment.line()

    def _lines(self, console: Console) -> Iterator[tuple[str, str]]:
        """Each line with its style."""
        heading = [self._folded(console, column.title, place) for place, column in enumerate(self._columns)]
        deepest = max(map(len, heading), default=0)
        yield from self._joined([[""] * (deepest - len(lines)) + lines for lines in heading], HEADING)
        yield "─" * self._fitted.width, ""
        for row in self._table.rows:
            cells = self._table.cells(row)
            shown = [self._folded(console, cells[number], place) for place, number in enumerate(self._fitted.columns)]
            yield from self._joined(shown, self._style(row))

    def _style(self, row: Row) -> str:
        if self._table.best and row.get(self._table.best):
            return BEST
        return FAILED if row.get("status", "ok") != "ok" else ""

    def _joined(self, cells: Sequence[Sequence[str]], style: str) -> Iterator[tuple[str, str]]:
        """The lines of some cells side by side."""
        for parts in zip_longest(*cells, fillvalue=""):
            yield (" " * GAP).join(self._padded(part, place) for place, part in enumerate(parts)), style

    def _folded(self, console: Console, text: str, place: int) -> list[str]:
        """A cell broken into lines that its column has room for."""
        from rich.cells import cell_len
        from rich.text import Text

        width = self._fitted.widths[place]
        if cell_len(text) <= width:
            return [text]
        return [line.plain.rstrip() for line in Text(text).wrap(console, width, overflow="fold")]

    def _padded(self, text: str, place: int) -> str:
        from rich.cells import cell_len

        room = " " * (self._fitted.widths[place] - cell_len(text))
        return text + room if self._columns[place].text else room + text
