"""``mglubench compare``: exit codes, formats, files, sides by name; bad input is one line and writes nothing."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.conftest import run_command, tree

FAKE = ("sweep", "--executor", "fake", "--shape", "64x96", "--nm", "1", "--no-ceiling")


@pytest.fixture
def runs(cli):
    """Two fake runs of the same sweep, and one in which a variant crashes."""
    for name in ("a", "b"):
        assert cli(*FAKE, "--out", f"runs/{name}").code == 0
    return ("runs/a", "runs/b")


def test_identical_fake_runs_are_good_in_every_format(cli, runs, tmp_path):
    files = ("--junit", "j.xml", "--out-json", "c.json", "--out-markdown", "c.md")
    done = cli("compare", *runs, *files)
    assert done.code == 0, done.err
    assert "FAKE RUNS" in done.out
    assert "exit code 0" in done.out
    assert json.loads((tmp_path / "c.json").read_text())["exit_code"] == 0
    assert ElementTree.parse(tmp_path / "j.xml").getroot().tag == "testsuites"
    assert "<details>" in (tmp_path / "c.md").read_text()
    document = json.loads(cli("compare", *runs, "--json").out)
    assert document["format"] == 1
    assert document["base"]["name"] == "runs/a"
    assert cli("compare", *runs, "--markdown").out == (tmp_path / "c.md").read_text()
    assert cli("compare", *runs, "--github").out.startswith("::notice title=mglubench compare::")
    assert "SAME" in cli("compare", *runs, "--all").out
    assert json.loads(cli("compare", "--schema").out)["title"] == "mglubench compare --json"


def test_sides_are_folders_names_or_the_last_run(cli, runs):
    assert cli("compare", "runs/a", "last").code == 0
    assert cli("compare", "last", "runs/b").code == 2
    done = cli(*FAKE, "--out", "runs/c")
    assert done.code == 0
    assert cli("compare", "runs/a,runs/b", "last").code == 0


def test_exit_codes_follow_what_is_found(cli, runs, monkeypatch):
    assert cli(*FAKE, "--variants", "auto,-lu", "--out", "less").code == 0
    missing = cli("compare", "runs/a", "less")
    assert missing.code == 4
    assert "MISSING" in missing.out
    assert cli("compare", "runs/a", "less", "--fail-on", "slower").code == 0
    assert cli("compare", "runs/a", "less", "--fail-on", "none").code == 0
    assert cli("compare", "less", "runs/a").code == 0
    assert cli("compare", *runs, "--fail-on", "unclear").code == 4
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "lu=crash")
    assert cli(*FAKE, "--out", "broken").code == 1
    failed = cli("compare", "runs/a", "broken", "--fail-on", "none")
    assert failed.code == 1
    assert "planted fault in lu" in failed.out


def test_other_measuring_is_incomparable_until_forced(cli, runs):
    assert cli(*FAKE, "--rounds", "8", "--out", "eight").code == 0
    refused = cli("compare", "runs/a", "eight")
    assert refused.code == 4
    assert "measuring rule, rounds: 6 before, 8 now" in refused.out
    forced = cli("compare", "runs/a", "eight", "--force")
    assert forced.code == 0
    assert "(--force), differs: measuring rule, rounds" in forced.out


def test_identical_code_is_calibrated(cli):
    assert cli("repeat", *FAKE[1:], "--times", "4", "--out", "r").code == 0
    done = cli("compare", "--calibrate", "r")
    assert done.code == 0, done.err
    assert "Mann-Whitney" in done.out
    document = json.loads(cli("compare", "--calibrate", "r/01", "r/02,r/03", "--json").out)
    assert document["runs"] == 3
    ours = [rate for rate in document["rates"] if rate["ours"]]
    assert {rate["alarmed"] for rate in ours} == {0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "0 sides given"),
        (("runs/a",), "1 sides given"),
        (("runs/a", "runs/b", "runs/b"), "3 sides given"),
        (("runs/a", "nix"), "'nix' is neither a run nor a baseline"),
        (("runs/a", "runs/a"), "given twice"),
        (("runs/a", "runs"), "is no run"),
        (("runs/a,", "runs/b"), "empty entry"),
        (("runs/a", "runs/b", "--fail-on", "slow"), "did you mean slower"),
        (("runs/a", "runs/b", "--fail-on", ""), "--fail-on is empty"),
        (("runs/a", "runs/b", "--alarms", "0"), "alarms is 0"),
        (("runs/a", "runs/b", "--alarms", "nan"), "alarms is nan"),
        (("runs/a", "runs/b", "--margin", "2"), "margin is 2"),
        (("runs/a", "runs/b", "--json", "--github"), "choose one of"),
        (("runs/a", "runs/b", "--junit", "runs/a/run.json"), "is there already"),
        (("runs/a", "runs/b", "--junit", "nowhere/j.xml"), "there is no folder"),
        (("runs/a", "runs/b", "--out-json", "runs"), "is there already"),
        (("--calibrate",), "--calibrate needs runs"),
        (("--calibrate", "runs/a"), "1 run given"),
        (("--calibrate", "runs/a", "runs/b", "--junit", "j.xml"), "leave --github"),
        (("runs/a", "damaged"), "cannot be read"),
        (("runs/a", "newer"), "upgrade mglubench"),
        (("runs/a", "apart"), "no case in common"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(cli, runs, tmp_path, words, said):
    assert cli(*FAKE, "--variants", "lu", "--activation", "gelu", "--out", "apart").code == 0
    for name, text in (("damaged", "{"), ("newer", json.dumps({"schema": 99}))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    before = tree(tmp_path)
    done = cli("compare", *words)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert done.out == ""
    assert tree(tmp_path) == before


def test_files_are_overwritten_by_force_alone(cli, runs, tmp_path):
    files = {name: tmp_path / name.strip("-") for name in ("--html", "--out-json", "--out-markdown", "--junit")}
    for file in files.values():
        file.write_text("mine")
    options = [str(word) for pair in files.items() for word in pair]
    refused = cli("compare", *runs, *options)
    assert (refused.code, refused.out) == (2, "")
    assert "out-json is there already; name another file, or --force to overwrite it" in refused.err
    assert {file.read_text() for file in files.values()} == {"mine"}
    assert cli("compare", *runs, *options, "--force").code == 0
    assert all(len(file.read_text()) > 100 for file in files.values())


def damaged(run, number):
    """Damage a row of a run; what it was."""
    rows = run / "rows.jsonl"
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join([*lines[:number], lines[number][:99] + "\n", *lines[number + 1 :]]))
    return lines[number]


@pytest.mark.parametrize("sides", [("runs/a", "runs/b"), ("runs/b", "runs/a"), ("runs/c", "runs/b,runs/a")])
def test_a_row_that_cannot_be_read_is_bad_input_and_no_missing_case(cli, runs, tmp_path, sides):
    assert cli(*FAKE, "--out", "runs/c").code == 0
    lost = damaged(tmp_path / "runs" / "b", 1)
    for words in (sides, ("--calibrate", *sides)):
        refused = cli("compare", *words)
        assert (refused.code, refused.out) == (2, "")
        assert len(refused.err.strip().splitlines()) == 1
        assert "rows.jsonl, line 2: damaged row" in refused.err
    # Measured again, nothing is lacking.
    with (tmp_path / "runs" / "b" / "rows.jsonl").open("a") as rows:
        rows.write(lost)
    again = cli("compare", *sides)
    assert again.code == 0
    assert "line 2: damaged row, left out" in again.err


def test_a_process_of_its_own_ends_with_the_code(runs, tmp_path):
    done = run_command("compare", *runs, "--fail-on", "unclear", cwd=tmp_path)
    assert done.code == 4
