"""What is told while something runs: bar, count and time left on a terminal, a line for every set elsewhere."""

from __future__ import annotations

import dataclasses
import re

import pytest

from mglubench.cases.config import build_spec
from mglubench.cli.progress_line import duration_words
from mglubench.executors.fake import FakeSession
from mglubench.runner.plan import make_plan
from mglubench.runner.time_left import TimeLeft, guessed_seconds
from tests.cli.screens import on_terminal, without_style
from tests.conftest import TINY

SWEEP = ("sweep", "--executor", "fake", *TINY, "--variants", "swiglu,mglu-numba-cpu")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (12.4, "12 seconds"),
        (89, "89 seconds"),
        (95, "about 2 minutes"),
        (3540, "about 59 minutes"),
        (3600, "about 1 hour"),
        (4800, "about 1 hour 20 minutes"),
        (7300, "about 2 hours"),
    ],
)
def test_times_are_words(seconds, words):
    assert duration_words(seconds) == words


def test_without_a_terminal_every_set_is_a_plain_line(cli):
    told = cli(*SWEEP, "--batch", "1,2", "--out", "run").err.splitlines()
    sets = [line for line in told if line.startswith("set ")]
    assert [re.match(r"set (\d) of (\d): ", line).groups() for line in sets] == [
        (str(place), str(len(sets))) for place in range(1, len(sets) + 1)
    ]
    # Reads of the memory belong to the set.
    assert any(re.search(r": h=64 d=96, 2 tokens, float32, silu, cold on cpu: \d+ ok", line) for line in sets)
    assert told[-1].endswith("ok. Stored in run")
    assert not any("\x1b" in line for line in told)


def test_a_set_that_is_stored_is_not_told_again(cli):
    assert cli(*SWEEP, "--out", "run").code == 0
    assert not any(line.startswith("set ") for line in cli(*SWEEP, "--out", "run", "--resume").err.splitlines())


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_document_comes_in_silence(cli, form):
    assert cli(*SWEEP, "--out", "run", form).err.splitlines()[:-1] == []


@pytest.mark.parametrize("columns", [40, 80])
def test_bar_count_and_time_left_stay_on_the_screen(cli, tmp_path, columns):
    out = on_terminal(*SWEEP, "--out", "run", columns=columns, cwd=tmp_path)
    lines = [line for line in re.split(r"[\n\r]", without_style(out)) if "left" in line and "\u2501" in line]
    assert lines
    for line in lines:
        assert len(line.rstrip()) <= columns
        assert re.search(r"\u2501+ +\d+/\d+ +(time left not known yet|.* left)", line)
    assert "set 1 of" not in out


def test_a_dumb_terminal_gets_lines(cli, tmp_path):
    out = on_terminal(*SWEEP, "--out", "run", columns=80, cwd=tmp_path, TERM="dumb", FORCE_COLOR="1")
    assert "set 1 of" in out
    assert "\x1b" not in out


def a_plan(**changes):
    plan = make_plan(build_spec({"variants": "swiglu,mglu-numba-cpu", "h": 64, "d": 96, **changes}), FakeSession())
    return dataclasses.replace(plan, machine=dataclasses.replace(plan.machine, fake=False))


def test_time_left_is_guessed_and_then_known():
    plan = a_plan(nm="1,2", max_seconds=1.0, rounds=6, processes=3)
    guess = guessed_seconds(plan)
    assert guess == len(plan.cases) * 3.0
    left = TimeLeft(plan, 0)
    assert left.seconds(1.0) == guess - 1.0
    for _ in range(len(plan.cases) * (6 + 6) // 4):
        left.step()
    assert left.seconds(10.0) == pytest.approx(30.0)
    assert guessed_seconds(plan, len(plan.cases)) == 0.0


def test_a_long_sweep_says_so_before_it_begins(cli, monkeypatch):
    from mglubench.runner import time_left

    monkeypatch.setattr(time_left, "guessed_seconds", lambda plan, done=0: 300.0)
    told = cli(*SWEEP, "--out", "run").err.splitlines()
    assert re.fullmatch(r"\d+ cases will take about 5 minutes, by a guess", told[0])
    monkeypatch.setattr(time_left, "guessed_seconds", lambda plan, done=0: 119.0)
    assert "will take" not in cli(*SWEEP, "--out", "other").err
