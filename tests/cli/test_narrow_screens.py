"""Tables on screens of every width, on terminals that can little, in pipes and without colours."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest

from tests.cli.screens import on_terminal, without_style

NAMED = "lu,swiglu,swiglu-merged,mglu-naive,mglu-naive-complement,mglu-naive-float,mglu-numba-cpu"
SWEEP = ("sweep", "--executor", "fake", "--h", "2048", "--d", "8192", "--nm", "1,8", "--variants", NAMED)
HIDDEN = re.compile(r"not shown at (\d+) columns: (.*?); --wide shows all")
WIDTHS = (40, 60, 80, 100, 120)


@pytest.fixture
def stored(cli):
    assert cli(*SWEEP, "--out", "run").code == 0


def tables_of(cli):
    return json.loads(cli("report", "run", "--json").out)["tables"]


def headings(out: str) -> list[str]:
    """The hidden columns of every table that says so."""
    return [" ".join(found.split()) for _, found in HIDDEN.findall(" ".join(out.split()))]


@pytest.mark.parametrize("columns", WIDTHS)
def test_names_and_figures_are_whole_at_every_width(cli, stored, monkeypatch, columns):
    tables = tables_of(cli)
    monkeypatch.setenv("COLUMNS", str(columns))
    out = cli("report", "run").out
    assert max(map(len, out.splitlines())) <= columns
    assert "\u2026" not in out
    for row in tables[0]["rows"]:
        assert f"{row['latency_us']:,.1f}" in out
    if columns >= 60:
        assert all(out.count(name) >= 2 for name in NAMED.split(","))
    for row in tables[1]["rows"]:
        assert f"{row['memory_vs_glu']:+.1%}" in out


def test_the_least_important_columns_go_first_and_a_line_says_which(cli, stored, monkeypatch):
    said = {}
    for columns in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(columns))
        said[columns] = headings(cli("report", "run").out)
    assert said[80][:2] == ["samples, x naive, x Algorithm 2", "weights MB, masks MB, scratch MB"]
    assert said[120] == ["samples"] or said[120] == []
    # What a wider screen leaves out, a narrower one leaves out as well.
    for narrow, wide in pairwise(WIDTHS):
        for less, more in zip(said[narrow], said[wide], strict=False):
            assert set(more.split(", ")) <= set(less.split(", "))


def test_wide_shows_all_whatever_the_screen(cli, stored, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    wide = cli("report", "run", "--wide").out
    assert not headings(wide)
    heading = next(line for line in wide.splitlines() if "x naive" in line)
    assert all(name in heading for name in ("variant", "latency us", "samples", "x Algorithm 2", "x fastest GLU"))
    assert cli("report", "run", "--wide", "--json").err.strip() == "error: choose one of --json and --wide"


def test_every_table_offers_wide(cli):
    for command in (
        *(("sweep",), ("report",), ("repeat",), ("compare",), ("gate",), ("history",), ("predict",), ("profile",)),
        *(("runs",), ("variants",), ("verify",), ("doctor",), ("inspect",), ("campaign",), ("import",)),
        *(("baseline", "list"), ("baseline", "show"), ("fleet",)),
        *(("experiment", "ablation"), ("experiment", "masks"), ("experiment", "convert")),
    ):
        assert "--wide" in cli(*command, "--help").out, command


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize(
    "command",
    [
        ("variants",),
        ("runs", "."),
        ("doctor",),
        ("predict", "--gpu", "H100"),
        ("verify", "--executor", "fake", "--variants", "lu,mglu-numba-cpu", "--dtype", "float32"),
        ("compare", "run", "other", "--all"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else str(value),
)
def test_every_command_keeps_to_the_screen(cli, stored, monkeypatch, command, columns):
    if "other" in command:
        cli(*SWEEP, "--out", "other")
    monkeypatch.setenv("COLUMNS", str(columns))
    out = cli(*command).out
    assert max(map(len, out.splitlines())) <= columns
    assert "\u2026" not in out


def test_a_failure_says_its_whole_reason_on_a_narrow_screen(cli, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "lu=oom")
    monkeypatch.setenv("COLUMNS", "40")
    told = cli(*SWEEP, "--out", "run").out.partition("Not measured")[2]
    assert "lu" in told
    assert [word for word in ("oom", "planted", "fault", "in") if word not in told.split()] == []


def test_a_pipe_has_all_columns_and_no_colour(cli, stored, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    out = cli("report", "run").out
    assert not headings(out)
    assert "\x1b" not in out


def test_a_terminal_has_as_many_columns_as_it_says(cli, stored, tmp_path):
    out = on_terminal("report", "run", columns=80, cwd=tmp_path)
    lines = without_style(out).splitlines()
    assert max(map(len, lines)) <= 80
    assert headings(without_style(out))[0] == "samples, x naive, x Algorithm 2"
    assert "\x1b[1;32mmglu-numba-cpu" in out


def test_no_color_has_no_colour_and_the_same_words(cli, stored, tmp_path):
    plain = on_terminal("report", "run", columns=80, cwd=tmp_path, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain)
    assert "mglu-naive-complement" in plain


def test_a_dumb_terminal_gets_plain_words_as_wide_as_it_is(cli, stored, tmp_path):
    plain = on_terminal("report", "run", columns=60, cwd=tmp_path, TERM="dumb", FORCE_COLOR="1")
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 60
    assert "mglu-naive-complement" in plain
