"""Tables as markdown, for a terminal, and as plain data."""

from __future__ import annotations

import io
import json

from rich.console import Console

from mglubench.report.render import to_markdown, to_plain, to_rich
from mglubench.report.table import Column, Table, missing, number, ratio, text, times

NAN = float("nan")
COLUMNS = (Column("name", "na|me", text("name"), text=True), Column("value", "value", number("value", ",.1f")))
TABLE = Table(
    "A <title>",
    COLUMNS,
    [{"name": "a|b\nc", "value": 1234.56, "best": True}, {"name": "", "value": NAN}, {"name": "<i>", "value": None}],
    ["first | note"],
    best="best",
)


def test_markdown_escapes_what_would_break_a_table():
    assert to_markdown(TABLE).splitlines() == [
        "### A &lt;title>",
        "",
        "| na\\|me | value |",
        "| --- | ---: |",
        "| **a\\|b c** | **1,234.6** |",
        "|  | - |",
        "| &lt;i> | - |",
        "",
        "first \\| note  ",
    ]


def shown(table, **options):
    stream = io.StringIO()
    Console(file=stream, width=80, **options).print(to_rich(table))
    return stream.getvalue()


def test_a_terminal_shows_the_best_row_in_colour_and_a_file_shows_none():
    assert "\x1b[" in shown(TABLE, force_terminal=True, color_system="standard")
    plain = shown(TABLE)
    assert "\x1b" not in plain
    assert "1,234.6" in plain


def test_text_in_square_brackets_is_no_markup():
    table = Table("t", COLUMNS, [{"name": "[bold]x[/bold]", "value": 1.0}])
    assert "[bold]x[/bold]" in shown(table)


def test_plain_data_has_null_for_what_is_missing():
    plain = to_plain(TABLE)
    json.dumps(plain, allow_nan=False)
    assert [row["value"] for row in plain["rows"]] == [1234.56, None, None]
    assert plain["notes"] == ["first | note"]


def test_ratios_show_their_interval_unless_there_is_none():
    show = ratio("r")
    assert show({"r": 1.234, "r_low": 1.1, "r_high": 12.34}) == "1.23 [1.10, 12.3]"
    assert show({"r": 1.0, "r_low": 1.0, "r_high": 1.0}) == "1.00"
    assert show({"r": 2.0, "r_low": NAN, "r_high": NAN}) == "2.00"
    assert show({"r": NAN}) == show({}) == "-"


def test_factors_have_three_digits():
    assert [times(value) for value in (0.5, 9.994, 12.34, 345.6)] == ["0.50", "9.99", "12.3", "346"]


def test_missing_values():
    assert all(map(missing, (None, NAN, "")))
    assert not any(map(missing, (0, 0.0, False, "x")))
