"""Lines are read a block at a time wherever all is well with them, and only there."""

from __future__ import annotations

import json

import pytest

from mglubench.measure.measurement import Round
from mglubench.results.row_reader import RowReader
from mglubench.results.rows import Row
from tests.conftest import make_row


def rows(count=3):
    """Rows of two rounds, on several copies and on one."""
    turns = [Round(0, 0, 1, 3, (0, 1, 0)), Round(1, 1, 2, 2)]
    made = [make_row("mglu", [100.0, 101, 102.5, 99.0, 98.0], nm=nm) for nm in range(1, 1 + count)]
    return [Row.from_dict({**row.to_dict(), "rounds": [turn_of(turn) for turn in turns]}) for row in made]


def turn_of(turn):
    return {name: getattr(turn, name) for name in turn.__struct_fields__}


def text(values):
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in values).encode()


def test_a_block_holds_the_rows_that_were_written():
    block = RowReader().block(text(row.to_dict() for row in rows()))
    assert block is not None
    assert [row.whole() for row in block] == rows()
    assert block.flat.tolist() == [100.0, 101.0, 102.5, 99.0, 98.0] * 3
    assert block.turns.samples.tolist() == [5, 5, 5]


def test_rows_from_before_an_axis_are_read_in_blocks_too():
    values = [row.to_dict() for row in rows()]
    old = [{**row, "case": {name: v for name, v in row["case"].items() if name != "weights"}} for row in values]
    block = RowReader().block(text(old))
    assert block is not None
    assert [row.whole() for row in block] == rows()
    assert RowReader().block(text([*values[:1], *old[1:]])) is None


@pytest.mark.parametrize(
    "change",
    [
        {"samples": [100.0, 101.0, 102.0, 103.0, 0]},
        {"samples": [100.0, 101.0, 102.0, 103.0, 10**400]},
        {"samples": [100.0, 101.0, 102.0, 103.0]},
        {"samples": [], "rounds": []},
        {"ledger": {"weights": 3}},
        {"ledger": {"total": 0}},
        {"case": {**make_row("mglu", [1.0], nm=2).case.to_dict(), "h": 0}},
        {"case": {**make_row("mglu", [1.0], nm=2).case.to_dict(), "seed": 1 << 63}},
        {"case": {**make_row("mglu", [1.0], nm=2).case.to_dict(), "dtype": "float9"}},
        {"rounds": [turn_of(Round(0, 0, count=5, copies=(0, 1)))]},
        {"rounds": [turn_of(Round(0, 0, count=5, copies=(0, 1, 2, -3, 4)))]},
        {"key": make_row("mglu", [1.0], nm=1).key},
    ],
)
def test_a_block_with_one_damaged_row_is_looked_at_line_by_line(change):
    values = [row.to_dict() for row in rows()]
    reader = RowReader()
    lines = text([values[0], {**values[1], **change}, values[2]])
    assert reader.block(lines) is None
    first, damaged, last = lines.splitlines()
    assert reader.line(first).whole() == rows()[0]
    with pytest.raises(ValueError, match=r"\w"):
        reader.line(damaged)
    assert reader.line(last).whole() == rows()[2]


def test_a_name_that_stands_twice_is_no_block():
    line = text([rows()[0].to_dict()])
    assert RowReader().block(line.replace(b'"stop":"', b'"stop":"","stop":"')) is None


def test_a_case_of_an_earlier_block_is_no_block():
    lines = text(row.to_dict() for row in rows())
    reader = RowReader()
    assert reader.block(lines) is not None
    assert reader.block(lines[: lines.index(b"\n") + 1]) is None
