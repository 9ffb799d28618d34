"""What of a table a screen shows: whole names and figures, the least important columns left out first."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mglubench.report.fit import LEAST_NAME, fit
from mglubench.report.render import to_rich
from mglubench.report.table import Column, Table, named, number, prose

NAMES = ("mglu-naive-complement", "lu")
TABLE = Table(
    "t",
    (
        named("name", "variant"),
        Column("first", "first figure", number("first", ",.1f"), spare=0),
        Column("second", "second", number("second", ",.1f"), spare=2),
        Column("third", "third", number("third", ",.1f"), spare=2),
        Column("fourth", "fourth", number("fourth", ",.1f"), spare=7),
        prose("why", "reason", spare=1),
    ),
    [
        {"name": name, "first": 123456.7, "second": 1.0, "third": 2.0, "fourth": 3.0, "why": "some words " * 4}
        for name in NAMES
    ],
)
NARROW = Table("t", TABLE.columns[:2], TABLE.rows)


def shown(table: Table, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=500, height=25).print(to_rich(table, fit(table, width)))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_without_a_screen_all_is_shown_whole():
    found = fit(TABLE)
    assert (len(found.columns), found.hidden) == (6, ())
    assert found.widths == (21, 12, 6, 5, 6, 43)


@pytest.mark.parametrize(
    ("width", "hidden"),
    [
        (103, ()),
        (77, ()),
        (76, ("fourth",)),
        (68, ("third", "fourth")),
        (61, ("second", "third", "fourth")),
        (53, ("second", "third", "fourth", "reason")),
        (20, ("second", "third", "fourth", "reason")),
    ],
)
def test_the_highest_spare_goes_first_and_the_last_of_equals(width, hidden):
    found = fit(TABLE, width)
    assert found.hidden == hidden
    assert found.width <= width


@pytest.mark.parametrize("width", range(20, 110, 3))
def test_figures_are_whole_and_names_are_there_on_every_screen(width):
    lines = shown(TABLE, width)
    assert max(map(len, lines)) <= width
    assert sum("123,456.7" in line for line in lines) == len(NAMES)
    first = fit(TABLE, width).widths[0]
    assert all(name in "".join(line[:first].strip() for line in lines) for name in NAMES)
    assert not any("\u2026" in line for line in lines)


def test_a_name_is_broken_before_it_is_lost_and_a_figure_never():
    assert fit(NARROW, 24).widths == (24 - 2 - 9, 9)
    # No room for either: the line is longer than the screen, the figure whole.
    assert fit(NARROW, 5).widths == (LEAST_NAME, 9)
    assert any(line.endswith("123,456.7") for line in shown(NARROW, 5))


def test_sentences_take_the_room_that_is_left():
    wide, narrow = fit(TABLE, 95), fit(TABLE, 85)
    assert wide.width == 95
    assert narrow.width == 85
    assert wide.widths[:-1] == narrow.widths[:-1]


def test_wide_characters_take_two_places():
    table = Table("t", (named("name"),), [{"name": "\u6f22\u5b57"}])
    assert fit(table).widths == (4,)


def test_a_table_without_rows_has_headings():
    found = fit(Table("t", TABLE.columns, []), 80)
    assert found.hidden == ()
    assert found.widths[0] == len("variant")
