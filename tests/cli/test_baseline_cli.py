"""Baselines and their history as a person calls them, on fake runs; refusals in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result

Cli = Callable[..., Result]
SWEEP = ("sweep", "--executor", "fake", "--shape", "64x96", "--nm", "1", "--no-ceiling", "--variants", "lu,mglu-naive")


@pytest.fixture
def run(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("MGLUBENCH_BASELINES", raising=False)
    assert cli(*SWEEP, "--out", "run").code == 0
    return "run"


def test_a_run_is_saved_listed_and_shown(cli: Cli, run: str) -> None:
    saved = cli("baseline", "save", "main", run, "--note", "before", "--commit", "v1")
    assert (saved.code, saved.out) == (0, "")
    assert "baselines/main: 1 run, 2 cases" in saved.err
    listed = json.loads(cli("baseline", "list", "--json").out)
    assert [(one["name"], one["runs"], one["cases"], one["commit"], one["note"]) for one in listed] == [
        ("main", 1, 2, "v1", "fake; before")
    ]
    assert "main" in cli("baseline", "list").out
    shown = json.loads(cli("baseline", "show", "main", "--json").out)
    assert (shown["name"], len(shown["runs"]), len(shown["cases"])) == ("main", 1, 2)
    assert shown["cases"][0]["latency_us"] > 0
    assert "FAKE RUNS" in cli("baseline", "show", "main").out


def test_a_name_that_is_taken_is_kept(cli: Cli, run: str) -> None:
    cli("baseline", "save", "main", run)
    before = Path("baselines/main/baseline.json").read_bytes()
    refused = cli("baseline", "save", "main", run)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "error: there is a baseline 'main' in baselines already; --force replaces it\n"
    assert Path("baselines/main/baseline.json").read_bytes() == before
    assert cli("baseline", "save", "main", run, "--force").code == 0


def test_history_shows_every_case(cli: Cli, run: str) -> None:
    for name in ("one", "two"):
        assert cli("baseline", "save", name, run, "--folder", "kept").code == 0
    shown = cli("history", "kept")
    assert shown.code == 0
    assert "mglu-naive" in shown.out
    assert "2 baselines in kept" in shown.err
    found = json.loads(cli("history", "kept", "--json").out)
    assert [one["name"] for one in found["baselines"]] == ["one", "two"]
    assert [(case["variant"], len(case["points"]), case["changes"]) for case in found["cases"]] == [
        ("lu", 2, []),
        ("mglu-naive", 2, []),
    ]
    (Path("kept") / "two" / "baseline.json").write_text("{")
    damaged = cli("history", "kept", "--json")
    assert damaged.code == 0
    assert "left out: " in damaged.err
    assert "unreadable" in cli("baseline", "list", "--folder", "kept").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("baseline", "save", "other", "nothing"), "'nothing' is neither a run nor a baseline"),
        (("baseline", "save", "a/b", "run"), "no name for a baseline"),
        (("baseline", "save", "other", "run", "run"), "given twice"),
        (("baseline", "save", "other"), "Missing argument"),
        (("baseline", "show", "mian"), "there is no baseline 'mian' in baselines; did you mean main?"),
        (("baseline", "show", "main", "--nope"), "No such option"),
        (("baseline", "nope"), "No such command"),
        (("history", "nowhere"), "no baselines in nowhere"),
        (("history", "damaged"), "no baseline in damaged can be read"),
        (("history", "baselines", "--json", "--markdown"), "choose one of"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, run: str, arguments: tuple[str, ...], words: str) -> None:
    cli("baseline", "save", "main", run)
    (Path("damaged") / "x").mkdir(parents=True)
    (Path("damaged") / "x" / "baseline.json").write_text("[]")
    before = sorted(map(str, Path().rglob("*")))
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(map(str, Path().rglob("*"))) == before


def test_without_baselines_list_says_so(cli: Cli) -> None:
    assert "no baselines in nowhere" in cli("baseline", "list", "--folder", "nowhere").out
    assert "Usage:" in cli("baseline", "--help").out
