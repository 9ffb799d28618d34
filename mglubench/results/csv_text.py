"""Tables out of what ncu printed as CSV, and out of what shells and editors made of it on the way.

The text may be UTF-8 or UTF-16 with or without a mark, its delimiter a comma, a semicolon or a tab, its quotes written
only where they are needed. A table begins at a line whose first cell is ``ID``; a row at a line whose first cell is a
number. Lines that the tool or the program printed before, between and after are passed over, unless they hold a piece
of a row: then the file is damaged, and a sum over its rows would be too small.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mglubench.hardware.counter_names import is_key, ranges_in

LONGEST_ROW = 200  # lines; the text of a rule may span some
ERROR = "==ERROR=="
FEW = 2  # delimiters between quotes that a program's own words may have
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEADER = re.compile(r'^[\ufeff\s]*("?)ID\1[ ]*(?P<delimiter>[,;\t])')
# A program that printed no line end before ncu's table.
_GLUED_HEADER = re.compile(r'"ID"(?P<delimiter>[,;\t])"Process ID"')
_OF_A_TABLE = ("Kernel Name", "Metric Name", "_Range", "NVTX", "__")
_OF_A_KERNEL = ("ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Context", "Stream")


@dataclass(slots=True)
class CsvTable:
    """One table.

    Attributes:
        header: names of the columns. units: the cells of the line under the header whose ID is empty, if there is one.
        rows: line number and cells, no more than the header has, of every row. cut: the file ends without a line end
            and without a quote, so the last cell of the last row may have lost its end.
    """

    header: list[str]
    units: list[str] | None = None
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    cut: bool = False


def decode(data: bytes) -> str:
    """The text of a file, by its byte order mark, else by where its NULs are, else UTF-8, else Windows' Latin."""
    return data.decode(_encoding(data), errors="replace")


def _encoding(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if 4 * max(even, odd) > len(sample):
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def lines_of(text: str) -> list[str]:
    """Lines; Windows may have made two carriage returns of one."""
    return re.split(r"\r*\n|\r", text)


def tables(text: str) -> list[CsvTable]:
    """The tables of a text, in order; none if no line is a header.

    Raises:
        ValueError: a row is damaged or cut short; the message names the line.
    """
    lines = lines_of(text)
    found: list[CsvTable] = []
    delimiter = ","
    number = 0
    while number < len(lines):
        line, first = lines[number], number + 1
        number += 1
        if head := _header(line):
            delimiter = head[1]
            _refuse_pieces(line, first, "")
            found.append(CsvTable([name.strip(" \ufeff") for name in next(csv.reader([head[0]], delimiter=delimiter))]))
        elif found and _begins_row(line, delimiter):
            while line.count('"') % 2 and number < len(lines) and number - first < LONGEST_ROW:
                if _begins_row(lines[number], delimiter):
                    raise ValueError(f"line {first} is damaged: a quote is not closed")
                line += "\n" + lines[number]
                number += 1
            _take(found[-1], first, _cells(line, first, delimiter, at_end=number >= len(lines)))
        elif found:
            if first == len(lines) and re.fullmatch(r'\s*"?[0-9]+"?\s*', line):
                raise ValueError(f"line {first} is damaged: the file ends in the middle of a row: it was cut short")
            _refuse_pieces(line, first, delimiter)
    if found and lines[-1] and _begins_row(lines[-1], delimiter):
        found[-1].cut = not lines[-1].rstrip().endswith('"')
    return found


def has_table(text: str) -> bool:
    """Whether some line is the header of a table."""
    return any(_header(line) for line in lines_of(text))


def _header(line: str) -> tuple[str, str] | None:
    """A header's text and its delimiter."""
    match = _HEADER.match(line) or _GLUED_HEADER.search(line)
    if match is None or not any(mark in line for mark in _OF_A_TABLE):
        return None
    return line[match.start() :].lstrip("\ufeff "), match["delimiter"]


def _begins_row(line: str, delimiter: str) -> bool:
    """Whether a line is a row (its ID is a number, perhaps with grouping), or the line of units (its ID is empty)."""
    number = rf'\s*(?:"\s*[0-9][^"{delimiter}A-Za-z]*"|[0-9]+)\s*{delimiter}|\s*(?:"\s*")?{delimiter}|\s*"[0-9]*$'
    return re.match(number, line) is not None


def _cells(line: str, number: int, delimiter: str, *, at_end: bool) -> list[str]:
    if line.count('"') % 2:
        ended = "the file ends in the middle of a row: it was cut short" if at_end else "a quote is not closed"
        raise ValueError(f"line {number} is damaged: {ended}")
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"line {number} is damaged: {error}") from None


def _take(table: CsvTable, number: int, cells: list[str]) -> None:
    width = len(table.header)
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        cells = cells[:width]
    if len(cells) > width:
        raise ValueError(
            f"line {number} has {len(cells)} cells under {width} headings: its quotes were lost, or it is damaged"
        )
    if any(cell.strip() for cell in cells[:1]):
        table.rows.append((number, cells))
    elif _is_units(table, cells):
        table.units = cells
    elif any(cell.strip() for cell in cells):
        raise ValueError(f"line {number} is damaged: it has no ID")


def _is_units(table: CsvTable, cells: list[str]) -> bool:
    """The raw page has a line of units under its header, in which nothing tells of a kernel."""
    of_kernel = [cell for name, cell in zip(table.header, cells, strict=False) if name in _OF_A_KERNEL]
    fresh = not table.rows and table.units is None
    return fresh and "Metric Name" not in table.header and not any(cell.strip() for cell in of_kernel)


def _refuse_pieces(line: str, number: int, delimiter: str) -> None:
    """A line between rows may be anything that a program prints, but no piece of a row."""
    pieces = line.count(f'"{delimiter}"') if delimiter else 0
    if any(is_key(name) for name in ranges_in(line)) or pieces > FEW:
        raise ValueError(f"line {number} is damaged: it holds a piece of a row")


def said_by_tool(text: str) -> str:
    """Errors and warnings of ncu in a text, joined, at most 300 characters; empty if there are none."""
    return _said(text, ERROR) or _said(text, "==WARNING==")


def errors_of_tool(text: str) -> str:
    """Errors of ncu in a text, joined, at most 300 characters; empty if there are none."""
    return _said(text, ERROR)


def _said(text: str, kind: str) -> str:
    lines = [line.strip() for line in lines_of(text) if kind in line]
    return " ".join(dict.fromkeys(line for line in lines if line.startswith(kind)))[:300]


def numbered(table: CsvTable, width: int) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table that must be ``width`` cells wide.

    Raises:
        ValueError: one is shorter.
    """
    for number, cells in table.rows:
        if len(cells) < width:
            raise ValueError(f"line {number} has {len(cells)} cells where {width} are needed: it was cut short")
        yield number, cells
