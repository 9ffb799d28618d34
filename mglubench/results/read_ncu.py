"""Kernels out of the CSV that Nsight Compute prints. Needs no GPU, no ncu.

A CSV comes from ``ncu --import REPORT --csv --page raw --print-units base`` (a header, a line of units, a line per
kernel) or from the details page (a line per kernel and metric, which ends early where the header has columns of rules).
A kernel is one ID of one process; where a file holds it twice it counts once. Source: Nsight Compute CLI, "Console
Output".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mglubench.errors import UsageError
from mglubench.hardware.counter_names import COUNTERS, Kernel, ranges_in
from mglubench.results.csv_numbers import Mark, decimal_mark, number
from mglubench.results.csv_text import CsvTable, decode, numbered, said_by_tool, tables
from mglubench.results.units import quantity_of, scaled

RANGE_COLUMNS = ("Push/Pop_Range", "Start/Stop_Range", "NVTX")
WANTED = frozenset(name for counter in COUNTERS for name in counter.names)
HOW = "export with: LC_ALL=C ncu --import REPORT.ncu-rep --csv --page raw --print-units base"
_IDENTITY = ("Host Name", "Process ID", "ID")
_CUT = "it ends within a row, without a quote and without a line end: it may have been cut short"
_RULE_COLUMNS = ("Rule Name", "Rule Type", "Rule Description")


@dataclass(frozen=True, slots=True)
class _Cell:
    """A wanted metric as it is written."""

    value: str
    unit: str


@dataclass(slots=True)
class _Written:
    """A kernel as it is written: nothing of it is read as a number yet."""

    identity: tuple[str, ...]
    name: str
    ranges: frozenset[str]
    cells: dict[str, _Cell] = field(default_factory=dict)

    def put(self, metric: str, cell: _Cell) -> None:
        if self.cells.setdefault(metric, cell) != cell:
            raise ValueError(f"kernel {self.identity[-1]} has two values of {metric}")

    def same(self, other: _Written) -> bool:
        """Whether these are one kernel written twice, perhaps with different metrics."""
        shared = self.cells.keys() & other.cells.keys()
        alike = (self.identity, self.name, self.ranges) == (other.identity, other.name, other.ranges)
        return alike and all(self.cells[metric] == other.cells[metric] for metric in shared)


def read_csv(path: Path) -> list[Kernel]:
    """Kernels of a CSV.

    Raises:
        UsageError: it cannot be read or is damaged; the message says why, and how to export.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        return parse_csv(decode(data))
    except ValueError as error:
        raise UsageError(f"{path} cannot be used: {error}; {HOW}") from None


def parse_csv(text: str) -> list[Kernel]:
    """Kernels of a CSV's text.

    Raises:
        ValueError: what is missing or damaged.
    """
    found = tables(text)
    if not found:
        raise ValueError(_why_no_header(text))
    if "\0" in text:
        raise ValueError("it holds NUL bytes: it is damaged, or two encodings were put into one file")
    written: dict[tuple[str, ...], list[_Written]] = {}
    evidence: list[str] = []
    for table in found:
        evidence += _figures(table)
        _merge(written, _kernels(table))
    mark = decimal_mark(evidence)
    return [_read(kernel, mark) for kernels in written.values() for kernel in kernels]


def _why_no_header(text: str) -> str:
    """Why a text without a table is none, by what it is instead."""
    reason = 'there is no header line that begins with "ID"'
    if not text.strip():
        return f"{reason}: it is empty"
    if said := said_by_tool(text):
        return f"{reason}; ncu said: {said}"
    if text.lstrip().startswith(("{", "[")):
        return f"{reason}: it is JSON, perhaps a trace of another tool"
    for mark, what in _OTHER_TABLES:
        if mark in text:
            return f"{reason}: it is {what}"
    return reason


_OTHER_TABLES = (
    ("Metric Average", "a summary (--print-summary), which has no single kernels"),
    ("Total Time (ns)", "a table of nsys stats; export the timeline instead: nsys export --type sqlite"),
    ("==NVPROF==", "a table of nvprof, which knows none of these counters"),
    ("Device Attribute", "ncu's session page, which has no counters"),
    ("Session", "ncu's session page, which has no counters"),
    ("Launch Details", "ncu's session page, which has no counters"),
)


def _figures(table: CsvTable) -> Iterator[str]:
    """Cells that tell how this file writes numbers: those that have a unit, and those that are wanted."""
    if "Metric Name" in table.header:
        name, unit, value = (_index(table, f"Metric {what}") for what in ("Name", "Unit", "Value"))
        for _, row in table.rows:
            if len(row) > value and (row[unit].strip() or row[name].strip() in WANTED):
                yield row[value]
        return
    units = table.units or []
    columns = [
        i for i, name in enumerate(table.header) if name in WANTED or ("__" in name and "".join(units[i : i + 1]))
    ]
    for _, row in table.rows:
        yield from (row[index] for index in columns if index < len(row))


def _kernels(table: CsvTable) -> Iterator[_Written]:
    if not any(mark in name for name in table.header for mark in RANGE_COLUMNS):
        raise ValueError("it has no NVTX column: profile with --nvtx, inside mglubench's ranges")
    return _from_details(table) if "Metric Name" in table.header else _from_raw(table)


def _from_raw(table: CsvTable) -> Iterator[_Written]:
    _index(table, "Kernel Name")
    columns = [(index, metric) for index, metric in enumerate(table.header) if metric in WANTED]
    width = len(table.header)
    if columns and table.rows and table.units is None:
        raise ValueError("it has no line of units under its header")
    units = [*(table.units or []), *[""] * width]
    with_unit = [metric for index, metric in columns if units[index].strip()]
    without = [m for index, m in columns if not units[index].strip() and quantity_of(m) != "percent"]
    if with_unit and without:
        raise ValueError(f"{without[0]} has no unit")
    if table.cut:
        raise ValueError(_CUT)
    for _, row in numbered(table, width):
        kernel = _start(table, row)
        for index, metric in columns:
            kernel.put(metric, _Cell(row[index], units[index]))
        yield kernel


def _from_details(table: CsvTable) -> Iterator[_Written]:
    """The details page has a row per kernel and metric, in which rules and metrics use different columns."""
    metric, unit, value = (_index(table, f"Metric {what}") for what in ("Name", "Unit", "Value"))
    _index(table, "Kernel Name")
    rules = [index for index, name in enumerate(table.header) if name in _RULE_COLUMNS]
    kernels: dict[tuple[str, ...], _Written] = {}
    last = table.rows[-1][0] if table.rows else 0
    for line, row in numbered(table, value + 1):
        fresh = _start(table, row)
        kernel = kernels.setdefault(fresh.identity, fresh)
        if not kernel.same(fresh):
            raise ValueError(f"line {line} gives kernel {fresh.identity[-1]} another name or other ranges")
        name = row[metric].strip()
        if name not in WANTED:
            continue
        if any(row[index].strip() for index in rules if index < len(row)):
            raise ValueError(f"line {line} is a metric and a rule at once: its quotes were lost")
        if not row[unit].strip() and row[value].strip() and quantity_of(name) != "percent":
            raise ValueError(f"line {line}: {name} has no unit")
        if table.cut and line == last and len(row) == value + 1:
            raise ValueError(_CUT)
        kernel.put(name, _Cell(row[value], row[unit]))
    yield from kernels.values()


def _start(table: CsvTable, row: Sequence[str]) -> _Written:
    """A kernel by the cells that identify it; grids and blocks betray a row whose quotes were lost."""
    by_name = dict(zip(table.header, row, strict=False))
    for column in ("Block Size", "Grid Size"):
        cell = by_name.get(column, "")
        if cell.count("(") != cell.count(")"):
            raise ValueError(f"{column} is {cell!r}: the quotes of this file were lost")
    identity = tuple(by_name.get(column, "").strip() for column in _IDENTITY)
    cells = (cell for name, cell in by_name.items() if any(mark in name for mark in RANGE_COLUMNS))
    return _Written(identity, by_name.get("Kernel Name", ""), ranges_in(" ".join(cells)))


def _merge(written: dict[tuple[str, ...], list[_Written]], more: Iterable[_Written]) -> None:
    """Add the kernels of one table by identity; one that another table holds gets its other metrics.

    Raises:
        ValueError: one table gives a kernel two values.
    """
    own: dict[tuple[str, ...], _Written] = {}
    for kernel in more:
        if not own.setdefault(kernel.identity, kernel).same(kernel):
            raise ValueError(f"kernel {kernel.identity[-1]} is there twice, with different values")
    for kernel in own.values():
        others = written.setdefault(kernel.identity, [])
        known = next((known for known in others if known.same(kernel)), None)
        if known is None:
            others.append(kernel)
        else:
            known.cells.update(kernel.cells)


def _read(kernel: _Written, mark: Mark | None) -> Kernel:
    values: dict[str, float] = {}
    for metric, cell in kernel.cells.items():
        try:
            value = number(cell.value, mark)
        except ValueError as error:
            raise ValueError(f"{metric} of kernel {kernel.identity[-1]}: {error}") from None
        if value is not None:
            values[metric] = scaled(value, cell.unit, metric)
    return Kernel(kernel.name, kernel.ranges, values, frozenset(kernel.cells.keys() - values.keys()))


def _index(table: CsvTable, name: str) -> int:
    if name not in table.header:
        raise ValueError(f"it has no column {name!r}")
    return table.header.index(name)
