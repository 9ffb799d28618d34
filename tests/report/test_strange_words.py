"""Rows of before, whose texts nobody made harmless: terminal, CSV, markdown and files show one visible line."""

from __future__ import annotations

import csv
import io

import pytest

from mglubench.results.store import RunStore
from tests.conftest import make_header, make_row, run_command

WORDS = "\x1b[31mred\x07 \u202eevil\u2028next\nl\xfcne \udc80 | end"
HARMLESS = "red evil next l\xfcne ? | end"


@pytest.fixture
def run(tmp_path):
    header = make_header(cases=2)
    header["environment"]["cpu"]["model"] = header["environment"]["devices"]["cpu"]["name"] = WORDS
    with RunStore.create(tmp_path / "run", header) as store:
        store.append(make_row("glu", [1000.0, 1100.0, 1200.0], variant="swiglu", nm=0))
        store.append(make_row("mglu", [], variant="mglu-naive", status="error", reason=WORDS))
    return "run"


def assert_harmless(text):
    assert not set(text) & set("\x1b\x07\u202e\u2028")


def test_tables_are_harmless(cli, run):
    for form in ((), ("--markdown",)):
        result = cli("report", run, *form)
        assert result.code == 0, result.err
        assert_harmless(result.out)
        assert "red evil next l\xfcne" in result.out


def test_a_csv_has_a_line_per_row(cli, run, tmp_path):
    result = cli("report", run, "--csv", "--export", "rows.csv")
    assert result.code == 0, result.err
    for text in (result.out, (tmp_path / "rows.csv").read_text()):
        assert_harmless(text)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["reason"] for row in rows] == ["", HARMLESS]


def test_a_terminal_without_the_characters_gets_their_numbers(run, tmp_path):
    import os

    result = run_command("report", run, "--csv", cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.code == 0, result.err
    assert "\\xfc" in result.out
