"""`last` stands for the newest run wherever one run is taken, and pictures land beside its rows."""

from __future__ import annotations

import pytest

from tests.conftest import TINY

SWEEP = ("sweep", "--executor", "fake", *TINY, "--variants", "swiglu,mglu-numba-cpu")
NONE = "error: there is no last run, runs holds none; `mglubench sweep` makes one\n"


@pytest.fixture
def run(cli, tmp_path):
    assert cli(*SWEEP, "--out", "runs/one").code == 0
    return tmp_path / "runs" / "one"


def test_report_shows_the_last_run(cli, run):
    assert cli("report", "last", "--json").out == cli("report", "runs/one", "--json").out


@pytest.mark.parametrize("command", ["report", "plot", "roofline", "profile", "saving", "samples"])
def test_without_a_run_there_is_no_last_one(cli, command, tmp_path):
    found = cli(command, "last")
    assert (found.code, found.err) == (2, NONE)
    assert list(tmp_path.iterdir()) == []


def test_profile_takes_the_last_run(cli, run):
    assert cli("profile", "last").err == cli("profile", "runs/one").err


def test_a_picture_lands_in_the_run_and_says_if_one_was_there(cli, run, tmp_path):
    assert cli("plot", "last").err == "wrote runs/one/latency.png\n"
    assert (run / "latency.png").stat().st_size > 1000
    assert cli("plot", "runs/one").err == "replaced runs/one/latency.png\n"
    assert cli("roofline", "last", "--out", "mine.png").err == "wrote mine.png\n"
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "mine.png"}
    # A picture is no part of what a run is resumed from.
    assert cli(*SWEEP, "--out", "runs/one", "--resume").code == 0
