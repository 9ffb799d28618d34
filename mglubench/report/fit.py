"""What of a table a screen has room for: names and figures are whole or not there, and the least important go first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mglubench.report.table import Column, Table

# Between two columns.
GAP = 2
# A narrower column of sentences is no pleasure; a name is broken before it is lost, but not into less than this.
LEAST_PROSE, LEAST_SENTENCE, LEAST_NAME = 20, 14, 8


@dataclass(frozen=True, slots=True)
class Fit:
    """The columns that are shown, by number, with their widths in characters; and the titles of those that are not."""

    columns: tuple[int, ...]
    widths: tuple[int, ...]
    hidden: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Of a whole line."""
        return _line(self.widths)


def fit(table: Table, width: int | None = None) -> Fit:
    """Choose columns and widths for a screen; all of them, as wide as they are, without one.

    Columns go by their ``spare``, the highest first and the last of equals, until the rest fits. What must stay and
    does not fit is broken over lines if it is text; a figure is never cut: the narrowest screens get a longer line.
    """
    cells = [table.cells(row) for row in table.rows]
    needs = [_need(column, [row[i] for row in cells]) for i, column in enumerate(table.columns)]
    kept = list(range(len(needs)))
    if width is None:
        return Fit(tuple(kept), tuple(whole for _, whole in needs))
    while _line([needs[i][0] for i in kept]) > width:
        optional = [i for i in kept if table.columns[i].spare]
        if not optional:
            break
        kept.remove(max(optional, key=lambda i: (table.columns[i].spare, i)))
    hidden = tuple(column.title for i, column in enumerate(table.columns) if i not in kept)
    columns = [table.columns[i] for i in kept]
    return Fit(tuple(kept), tuple(_widths(columns, [needs[i] for i in kept], width)), hidden)


def _need(column: Column, cells: Sequence[str]) -> tuple[int, int]:
    """The least width that a column takes, and the one at which nothing of it is broken."""
    from rich.cells import cell_len

    longest = max(map(cell_len, cells), default=0)
    heading = max(map(cell_len, column.title.split()), default=0)
    whole = max(longest, cell_len(column.title))
    return max(heading, min(longest, LEAST_PROSE) if column.prose else longest), whole


def _widths(columns: Sequence[Column], needs: Sequence[tuple[int, int]], width: int) -> list[int]:
    """The least widths, and what is left of the line: headings get it first, then sentences share it."""
    widths = [least for least, _ in needs]
    order = sorted(range(len(columns)), key=lambda i: (columns[i].prose, needs[i][1]))
    for place, i in enumerate(order):
        sharers = len(order) - place if columns[i].prose else 1
        room = max(0, width - _line(widths)) // sharers
        widths[i] += min(room, needs[i][1] - widths[i])
    while _line(widths) > width:
        texts = [i for i, column in enumerate(columns) if column.text and widths[i] > LEAST_NAME]
        # Sentences are for breaking; a name is broken where they are as narrow as can be.
        sentences = [i for i in texts if columns[i].prose and widths[i] > LEAST_SENTENCE]
        if not texts:
            break
        widths[max(sentences or texts, key=lambda i: widths[i])] -= 1
    return widths


def _line(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
