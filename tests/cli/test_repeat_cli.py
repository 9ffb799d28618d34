"""``mglubench repeat``: measured, gone on with, read again; bad input is one line."""

from __future__ import annotations

import json

import pytest

from mglubench.results.repeat_notebook import NOTEBOOK
from tests.conftest import run_command, tree

FAKE = ("--executor", "fake", "--shape", "64x96", "--nm", "1,3", "--no-ceiling")


def test_repeats_are_shown_stored_and_read_again(cli, tmp_path):
    done = cli("repeat", *FAKE, "--times", "3", "--out", "r")
    assert done.code == 0, done.err
    assert "FAKE RUNS" in done.out
    assert "x fastest GLU in 3 runs" in done.out
    assert "3 of 3" in done.out
    assert "repeat 3 of 3" in done.err
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["01", "02", "03"]
    before = tree(tmp_path)
    again = cli("repeat", "--of", "r/01", "r/02", "--json")
    assert again.code == 0, again.err
    found = json.loads(again.out)
    assert found["runs"] == ["r/01", "r/02"]
    assert found["summary"]["ratios"]["covered"] == found["summary"]["ratios"]["intervals"] > 0
    assert {row["runs"] for row in found["latencies"]} == {2}
    assert {"visible_1", "visible_3", "visible_5", "narrow", "deviation_low"} <= set(found["ratios"][0])
    assert "### What 3 runs have in common" in cli("repeat", "--of", "r", "--markdown").out
    assert tree(tmp_path) == before


def test_a_failed_case_is_exit_code_1_and_the_others_are_shown(cli, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "lu=crash")
    done = cli("repeat", *FAKE, "--times", "2", "--out", "r")
    assert done.code == 1
    assert "1 crash" in done.err
    assert "mglu-numba-cpu" in done.out
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "swiglu=crash")
    nothing = cli("repeat", *FAKE, "--variants", "swiglu", "--times", "2", "--out", "s")
    assert nothing.code == 1
    assert "measured nothing" in nothing.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--times", "1"), "allowed: 2 to 999"),
        (("--times", "x"), "'--times'"),
        (("--nm", "99"), "nm is 99"),
        (("somewhere",), "name stored runs with --of"),
        (("--of", "nix"), "1 run given"),
        (("--of", "nix", "nax"), "holds no run"),
        (("--of", "nix", "--nm", "1"), "leave the other options out"),
        (("--of", "nix", "--times", "3"), "leave the other options out"),
        (("--json", "--markdown"), "choose one of"),
        (("--variants", "nix"), "nix"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(cli, tmp_path, words, said):
    done = cli("repeat", *words)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert tree(tmp_path) == {}


def test_real_repeats_are_remembered_for_the_device(tmp_path, monkeypatch):
    monkeypatch.setenv(NOTEBOOK.variable, str(tmp_path / "repeats.json"))
    brief = ("--max-seconds", "0.03", "--min-samples", "3", "--rounds", "4", "--no-ceiling", "--mode", "hot")
    words = ("--shape", "64x96", "--nm", "1", "--variants", "swiglu,mglu-numba-cpu", "--device", "cpu")
    done = run_command("repeat", *words, *brief, "--times", "2", "--out", "r", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["summary"]["latencies"]["largest"] > 0
    (entry,) = NOTEBOOK.read().values()
    assert (entry["run"], entry["runs"], entry["modes"]) == ("r", 2, ["hot"])
    assert entry["latencies"]["by"] == {row["key"]: row["deviation"] for row in found["latencies"]}
    assert "repeat: ratios differ by" in run_command("report", "r/01", cwd=tmp_path).out
    findings = json.loads(run_command("doctor", "--json", cwd=tmp_path).out)["findings"]
    (finding,) = [one for one in findings if one["what"] == "repeat"]
    assert finding["status"] == "ok"
    assert "by 2 runs, hot" in finding["detail"]
