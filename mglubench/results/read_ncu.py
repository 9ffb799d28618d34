"""Kernels out of Nsight Compute's reports: ``.ncu-rep`` through NVIDIA's ``ncu_report``, and CSV. Needs no GPU, no ncu.

A CSV comes from ``ncu --import REPORT --csv --page raw --print-units base`` (a header, a line of units, a line per
kernel) or from the details page (a line per kernel and metric). Lines that the tool or the program printed before the
header or between the rows are passed over. Source: Nsight Compute CLI, "Console Output"; Python Report Interface.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mglubench.errors import UnavailableError, UsageError
from mglubench.hardware.counter_names import COUNTERS, DOMAIN, Kernel, ranges_in

RANGE_COLUMNS = ("Push/Pop_Range", "Start/Stop_Range", "NVTX")
WANTED = frozenset(name for counter in COUNTERS for name in counter.names)
# Into Nsight Compute's base units: bytes, nanoseconds, sectors, per cent.
_PREFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
UNITS = {
    **{f"{prefix}{what}": factor for what in ("byte", "sector") for prefix, factor in _PREFIXES.items()},
    "ns": 1.0,
    "us": 1e3,
    "ms": 1e6,
    "s": 1e9,
    "nsecond": 1.0,
    "usecond": 1e3,
    "msecond": 1e6,
    "second": 1e9,
    "%": 1.0,
    "": 1.0,
}


def read_csv(path: Path) -> list[Kernel]:
    """Kernels of a CSV.

    Raises:
        UsageError: no header, no NVTX column, or a unit that is not known; the message says how to export.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        return parse_csv(text)
    except (ValueError, csv.Error) as error:
        how = "export with: ncu --import REPORT.ncu-rep --csv --page raw --print-units base"
        raise UsageError(f"{path} cannot be used: {error}; {how}") from None


def parse_csv(text: str) -> list[Kernel]:
    """Kernels of a CSV's text.

    Raises:
        ValueError: what is missing.
    """
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.lstrip().startswith('"ID"')), None)
    if start is None:
        raise ValueError('there is no header line that begins with "ID"')
    table = list(csv.reader(io.StringIO("\n".join(lines[start:]))))
    header = [name.strip() for name in table[0]]
    rows = [row for row in table[1:] if len(row) == len(header)]
    if not any(mark in name for name in header for mark in RANGE_COLUMNS):
        raise ValueError("it has no NVTX column: profile with --nvtx, inside mglubench's ranges")
    return list(_from_details(header, rows) if "Metric Name" in header else _from_raw(header, rows))


def read_report(path: Path) -> list[Kernel]:
    """Kernels of an ``.ncu-rep`` file.

    Raises:
        UnavailableError: the package ``ncu_report`` is not installed. UsageError: not a report, or an empty one.
    """
    try:
        import ncu_report
    except ImportError:
        raise UnavailableError(
            "reading .ncu-rep needs NVIDIA's ncu_report: pip install mglubench[profile]; or export a CSV where ncu is: "
            f"ncu --import {path.name} --csv --page raw --print-units base"
        ) from None
    try:
        context = ncu_report.load_report(str(path))
        actions = [action for index in range(context.num_ranges()) for action in _actions(context.range_by_idx(index))]
        kernels = [_kernel(action) for action in actions]
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if not kernels:
        raise UsageError(f"{path} holds no profiled kernel, or is no Nsight Compute report")
    return kernels


def _actions(part: Any) -> list[Any]:
    return [part.action_by_idx(index) for index in range(part.num_actions())]


def _kernel(action: Any) -> Kernel:
    found = {name: metric for name in WANTED if (metric := action.metric_by_name(name)) is not None}
    values = {name: _scaled(metric.as_double(), metric.unit()) for name, metric in found.items() if metric.has_value()}
    return Kernel(action.name(), frozenset(_report_ranges(action.nvtx_state())), values)


def _report_ranges(state: Any) -> Iterator[str]:
    if state is None:
        return
    for number in state.domains():
        domain = state.domain_by_id(number)
        if domain is not None and domain.name() == DOMAIN:
            yield from domain.push_pop_ranges()
            yield from domain.start_end_ranges()


def _from_raw(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Kernel]:
    number, name = header.index("ID"), _index(header, "Kernel Name")
    units = next((row for row in rows if not row[number].strip()), [""] * len(header))
    columns = [(index, metric) for index, metric in enumerate(header) if metric in WANTED]
    for row in rows:
        if row[number].strip().isdigit():
            values = {metric: _number(row[index], units[index]) for index, metric in columns}
            yield Kernel(row[name], _ranges(header, row), {m: v for m, v in values.items() if v is not None})


def _from_details(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Kernel]:
    """The details page has one line per kernel and metric; a kernel is one ID of one process."""
    metric, unit, value = (_index(header, f"Metric {what}") for what in ("Name", "Unit", "Value"))
    number, name = header.index("ID"), _index(header, "Kernel Name")
    process = header.index("Process ID") if "Process ID" in header else number
    kernels: dict[tuple[str, str], Kernel] = {}
    for row in rows:
        if not row[number].strip().isdigit():
            continue
        kernel = kernels.setdefault((row[process], row[number]), Kernel(row[name], _ranges(header, row), {}))
        figure = _number(row[value], row[unit]) if row[metric] in WANTED else None
        if figure is not None:
            kernel.metrics[row[metric]] = figure
    yield from kernels.values()


def _ranges(header: Sequence[str], row: Sequence[str]) -> frozenset[str]:
    cells = (cell for name, cell in zip(header, row, strict=True) if any(mark in name for mark in RANGE_COLUMNS))
    return ranges_in(" ".join(cells))


def _index(header: Sequence[str], name: str) -> int:
    if name not in header:
        raise ValueError(f"it has no column {name!r}")
    return header.index(name)


def _number(text: str, unit: str) -> float | None:
    """A figure in base units: ``"1,234.5"`` and ``"2"`` of ``Mbyte``; ``None`` for ``n/a`` and ``nan``."""
    plain = text.strip().replace(",", "")
    try:
        value = float(plain)
    except ValueError:
        return None
    return _scaled(value, unit) if value == value else None


def _scaled(value: float, unit: str) -> float:
    if unit.strip() not in UNITS:
        raise ValueError(f"unknown unit {unit!r}")
    return value * UNITS[unit.strip()]
