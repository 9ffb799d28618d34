"""Where and with what a run was made, part by part, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglubench.report.summary import heading
from mglubench.report.table import LONGEST_CELL
from mglubench.results.header import Header
from mglubench.system.plain_text import plain

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Group:
    """One part of an environment's record."""

    title: str
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Record:
    """Where and with what a run was made."""

    title: str
    heading: Sequence[str]
    groups: Sequence[Group]


def record_of(title: str, frame: pd.DataFrame) -> Record:
    """A run's environment: its heading, and all of its header by part."""
    run: Header = frame.attrs["run"]
    groups = [Group("Run", _lines({"name": run["name"], "cases": run["cases"], "schema": run["schema"]}))]
    groups += [Group("Sweep", _lines(run["sweep"]))]
    loose: dict[str, object] = {}
    for name, value in run["environment"].items():
        if isinstance(value, Mapping):
            groups += [Group(name, _lines(value))] if value else []
        else:
            loose[name] = value
    groups.insert(1, Group("Machine", _lines(loose)))
    return Record(title, [plain(line, LONGEST_CELL) for line in heading(frame)], groups)


def _lines(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(plain(name), plain(text, LONGEST_CELL)) for name, text in _flat(values, "")]


def _flat(values: Mapping[str, object], before: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        elif isinstance(value, list | tuple):
            yield f"{before}{name}", ", ".join(map(str, value))
        else:
            yield f"{before}{name}", str(value)
