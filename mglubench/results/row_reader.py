"""From the lines of ``rows.jsonl`` to rows: whole blocks of lines where all is well, one by one where something is not.

The decoder takes the last of two equal names of an object; so names are counted, in the text and in the row.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import count

import msgspec
import numpy as np

from mglubench.cases.case import Case
from mglubench.measure.measurement import Round
from mglubench.results.rows import Row
from mglubench.system.strict_json import strict_loads

# Notes are left out where there are none.
_ROW_NAMES = len(Row.__struct_fields__) - 1 + len(dataclasses.fields(Case))
_ROUND_NAMES = len(Round.__struct_fields__)
# Names that rows of schema 1 do not have, and the one that tells.
_NEW_NAMES, _NEW = 2, b'"rounds":'
_COLON, _QUOTE, _NEWLINE = b':"\n'


class RowReader:
    """Reads the lines of one file, in their order; of two lines of one case the second is damaged."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Row)
        self._lines = 0
        self._seen: dict[tuple[int, str], int] = {}

    def block(self, lines: bytes) -> list[Row] | None:
        """The rows of some whole lines; ``None`` if they must be looked at one by one, by :meth:`line`."""
        try:
            rows = self._decoder.decode_lines(lines)
        except (ValueError, RecursionError):
            return None
        ends, names = _names_in(lines)
        if len(rows) != len(ends):
            return None
        start = 0
        for row, end, found in zip(rows, ends, names, strict=True):
            if found != _names_of(row) and not _is_old(row, lines[start:end], found):
                return None
            if row.why_damaged():
                return None
            start = end
        cases = dict(zip([(row.set, row.key) for row in rows], count(self._lines + 1), strict=False))
        if len(cases) < len(rows) or not self._seen.keys().isdisjoint(cases):
            return None
        self._lines += len(rows)
        self._seen |= cases
        return rows

    def line(self, line: bytes) -> Row:
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
        if found != _names_of(row) and not _is_old(row, line, found):
            strict_loads(line)
        if (first := self._seen.setdefault((row.set, row.key), self._lines)) != self._lines:
            raise ValueError(f"its case has a row already, in line {first}")
        return row

    def _decoded(self, line: bytes) -> Row:
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError:
            # Half a character, which an exception's text may hold, is JSON to the writer and none to the decoder.
            if b"\\ud" not in line.lower():
                raise
            whole = json.dumps(strict_loads(line), ensure_ascii=False)
            return self._decoder.decode(whole.encode("utf-8", "replace"))


def _is_old(row: Row, line: bytes, names: int) -> bool:
    """Whether this line has the names of a row of schema 1, each once."""
    return not row.rounds and names == _names_of(row) - _NEW_NAMES and _NEW not in line


def _names_in(lines: bytes) -> tuple[list[int], Sequence[int]]:
    """Where each line ends, and how often ``":`` stands in it: that many names it has, if no text looks like one."""
    text = np.frombuffer(lines, dtype=np.uint8)
    ends = (np.flatnonzero(text == _NEWLINE) + 1).tolist()
    colons = text[1:] == _COLON
    colons &= text[:-1] == _QUOTE
    return ends, [int(np.count_nonzero(colons[start:end])) for start, end in zip([0, *ends], ends, strict=False)]


def _names_of(row: Row) -> int:
    """How many names the JSON object of a row holds, those inside included."""
    parts = len(row.ledger) + len(row.telemetry) + len(row.overhead) + len(row.rounds) * _ROUND_NAMES
    return _ROW_NAMES + bool(row.notes) + parts + sum(map(len, row.checks))
