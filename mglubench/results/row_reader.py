"""From the lines of ``rows.jsonl`` to rows: whole blocks of lines where all is well, one by one where something is not.

The decoder takes the last of two equal names of an object; so names are counted, in the text and in the row.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter

import msgspec
import numpy as np

from mglubench.cases.axes import AXES
from mglubench.cases.case import Case
from mglubench.measure.measurement import Round
from mglubench.results.row_block import Block
from mglubench.results.rows import OPTIONAL, Row
from mglubench.results.stored_row import StoredRow
from mglubench.results.turns import Patterns, Wholes
from mglubench.stats import whole_numbers
from mglubench.system.strict_json import strict_loads

_ROW_NAMES = len(Row.__struct_fields__) - len(OPTIONAL) + len(dataclasses.fields(Case))
_ROUND_NAMES = len(Round.__struct_fields__)
# Names that rows of schema 1 do not have, and the one that tells.
_NEW_NAMES, _NEW = 2, b'"rounds":'
# Axes of which older rows do not know, as they are written: the word behind them, where it is one, may tell them from
# a part of a ledger.
_LATER_AXES = tuple(
    f'"{name}":{chr(34) * isinstance(axis.plain, str)}'.encode() for name, axis in AXES.items() if not axis.key
)
_TABLES = tuple(map(attrgetter, ("ledger", "telemetry", "overhead", "worker")))
_OPTIONAL = tuple(map(attrgetter, OPTIONAL))
_rounds, _checks = map(attrgetter, ("rounds", "checks"))
_QUOTE, _COLON, _NEWLINE = b'":\n'


class RowReader:
    """Reads the lines of one file, in their order; of two lines of one case the second is damaged."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Row)
        self._stored = msgspec.json.Decoder(StoredRow)
        self._lines = 0
        self._seen: dict[int, dict[str, int]] = {}
        self._patterns = Patterns()

    def block(self, lines: bytes) -> Block | None:
        """The rows of some whole lines; ``None`` if they must be looked at one by one, by :meth:`line`."""
        try:
            rows = self.together(self._stored.decode_lines(lines))
            if not _each_name_once(lines, rows) or not rows.sound():
                return None
        except (ValueError, RecursionError, OverflowError):
            return None
        numbers = range(self._lines + 1, self._lines + 1 + len(rows))
        new: dict[int, dict[str, int]] = {}
        for row, number in zip(rows, numbers, strict=True):
            new.setdefault(row.set, {})[row.key] = number
        if sum(map(len, new.values())) < len(rows):
            return None
        if not all(self._seen.get(number, {}).keys().isdisjoint(keys) for number, keys in new.items()):
            return None
        for number, keys in new.items():
            self._seen.setdefault(number, {}).update(keys)
        self._lines += len(rows)
        return rows

    def line(self, line: bytes) -> StoredRow:
        """The row of one line.

        Raises:
            ValueError: what is wrong with the line.
        """
        self._lines += 1
        row = self._decoded(line)
        if why := row.why_damaged():
            raise ValueError(why)
        # Text may hold what looks like the end of a name.
        found = line.count(b'":')
        stored = StoredRow.again(row)
        (names,) = _names_of([stored], line)
        if found != names and not _is_old(stored, line, found, names):
            strict_loads(line)
        if (first := self._seen.setdefault(row.set, {}).setdefault(row.key, self._lines)) != self._lines:
            raise ValueError(f"its case has a row already, in line {first}")
        return stored

    def together(self, rows: Iterable[StoredRow]) -> Block:
        """Rows of this file as a block."""
        return Block(rows, self._patterns)

    def _decoded(self, line: bytes) -> Row:
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError:
            # Half a character, which an exception's text may hold, is JSON to the writer and none to the decoder.
            if b"\\ud" not in line.lower():
                raise
            whole = json.dumps(strict_loads(line), ensure_ascii=False)
            return self._decoder.decode(whole.encode("utf-8", "replace"))


def _each_name_once(lines: bytes, rows: Block) -> bool:
    """Whether every line has its row's names and no name twice."""
    names, ends = _names_in(lines)
    if len(ends) != len(rows):
        return False
    wanted = _names_of(rows, lines)
    starts = np.concatenate([[0], ends])
    return all(
        _is_old(rows[number], lines[starts[number] : ends[number]], int(names[number]), int(wanted[number]))
        for number in np.flatnonzero(names != wanted).tolist()
    )


def _is_old(row: StoredRow, line: bytes, names: int, wanted: int) -> bool:
    """Whether this line has the names of a row of schema 1, each once."""
    return not row.rounds and names == wanted - _NEW_NAMES and _NEW not in line


def _names_in(lines: bytes) -> tuple[Wholes, Wholes]:
    """How often ``":`` stands in each line, and where lines end: so many names they have, if no text looks like one."""
    text = np.frombuffer(lines, dtype=np.uint8)
    marks = text == _NEWLINE
    marks[:-1] |= (text[:-1] == _QUOTE) & (text[1:] == _COLON)
    found = np.flatnonzero(marks)
    ends = np.flatnonzero(text[found] == _NEWLINE)
    return np.diff(ends, prepend=-1) - 1, found[ends] + 1


def _names_of(rows: Sequence[StoredRow], lines: bytes) -> Wholes:
    """How many names the JSON object of each row holds, those inside included."""
    count = len(rows)
    names = np.full(count, _ROW_NAMES - sum(axis not in lines for axis in _LATER_AXES))
    for table in _TABLES:
        names += whole_numbers(map(len, map(table, rows)), count)
    for optional in _OPTIONAL:
        names += whole_numbers(map(bool, map(optional, rows)), count)
    names += whole_numbers(map(len, map(_rounds, rows)), count) * _ROUND_NAMES
    checks = list(map(_checks, rows))
    rows_of = np.repeat(np.arange(count), whole_numbers(map(len, checks), count))
    in_checks = whole_numbers(map(len, chain.from_iterable(checks)), len(rows_of))
    return names + np.bincount(rows_of, in_checks, count).astype(np.int64)
