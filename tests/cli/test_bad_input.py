"""Bad input: one line on standard error, exit code 2, nothing written."""

from __future__ import annotations

import pytest

from tests.conftest import TINY, run_command, tree

FAKE = ("--executor", "fake")

BAD = {
    "unknown variant": (("--variants", "swiglo"), "unknown variant 'swiglo'; did you mean swiglu"),
    "one unknown variant of two": (("--variants", "lu,mglu-niave"), "did you mean mglu-naive"),
    "unknown variant to leave out": (("--variants", "auto,-swiglo"), "unknown variant 'swiglo'"),
    "no variant left": (("--variants", "-lu"), "no variant is left"),
    "unknown device": (("--device", "gpu"), "unknown device 'gpu'"),
    "unknown mode": (("--mode", "cald"), "unknown mode 'cald'; did you mean cold"),
    "unknown dtype": (("--dtype", "float17"), "unknown dtype 'float17'; did you mean float16"),
    "unknown activation": (("--activation", "sulu"), "did you mean silu"),
    "unknown mask": (("--mask", "half"), "unknown mask 'half'"),
    "unknown executor": (("--executor", "fako"), "unknown executor 'fako'; did you mean fake"),
    "nm 0": (("--nm", "0"), "nm is 0; allowed: 1 to 16"),
    "nm 17": (("--nm", "1,17"), "nm is 17; allowed: 1 to 16"),
    "nm x": (("--nm", "x"), "nm must be a whole number, got 'x'"),
    "nm empty": (("--nm", "1,,2"), "nm has an empty entry"),
    "negative h": (("--h", "-64"), "h is -64"),
    "h zero": (("--h", "0"), "h is 0"),
    "absurd d": (("--d", "99999999999"), "d is 99999999999"),
    "absurd memory": (("--shape", "1048576x1048576", "--nm", "16"), "GB for its inputs"),
    "lists that do not zip": (("--h", "1,2", "--d", "1,2,3"), "--h has 2 values and --d has 3"),
    "shape and h": (("--shape", "8x8", "--h", "8"), "either --shape, or --h and --d"),
    "shape without x": (("--shape", "2048"), "not HxD"),
    "batch 0": (("--batch", "0"), "batch is 0"),
    "noise": (("--target-noise", "2"), "target-noise is 2"),
    "seconds": (("--max-seconds", "soon"), "max_seconds must be a number, got 'soon'"),
    "seed": (("--seed", "-1"), "seed is -1"),
    "name": (("--name", "a/b"), "name 'a/b'"),
    "no CUDA": (("--device", "cuda"), "no CUDA device can be used here"),
    "no sweep file": (("--config", "nowhere"), "no sweep file 'nowhere'; shipped sweeps: "),
    "resume without out": (("--resume",), "--resume needs --out"),
    "resume of nothing": (("--resume", "--out", "nowhere"), "holds no run"),
    "out below a file": (("--out", "file/run"), "cannot write to file/run"),
    "out that nobody may make": (("--out", "/proc/run"), "cannot write to /proc/run"),
    "out is a file": (("--out", "file"), "cannot write to file"),
    "out has too long a name": (("--out", "x" * 300), "cannot write to"),
    "two formats": (("--json", "--csv"), "choose one of --json and --csv"),
    "unknown option": (("--colour",), "No such option: --colour"),
    "option without a value": (("--nm",), "--nm"),
    "stray argument": (("paper",), "unexpected extra argument"),
}


def assert_refused(result, words):
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.endswith("\n")
    assert len(result.err.splitlines()) == 1, result.err
    assert result.err.startswith("error: ")
    assert words in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sweep_is_one_line_and_writes_nothing(cli, tmp_path, name):
    arguments, words = BAD[name]
    (tmp_path / "file").write_text("kept")
    before = tree(tmp_path)
    executor = () if "--executor" in arguments else FAKE
    assert_refused(cli("sweep", *executor, *arguments), words)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("json_form", [(), ("--json",)])
def test_a_bad_dry_run_is_refused_too(cli, json_form):
    assert_refused(cli("sweep", *FAKE, "--dry-run", "--nm", "17", *json_form), "nm is 17")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("h = [64]\nnm = [1, 2\n", "bad.toml: unclosed array (at line 2"),
        ("h = [64]\n\nnn = [1]\n", "bad.toml, line 3: unknown key 'nn'; did you mean nm"),
        ("nm = [1]\ndtype = ['fp31']\n", "bad.toml, line 2: key 'dtype': unknown dtype 'fp31'"),
        ("h = [1, 2]\nd = [1, 2, 3]\n", "bad.toml, line 1: key 'h': --h has 2 values"),
        ("variants = ['swiglo']\n", "unknown variant 'swiglo'"),
    ],
)
def test_a_bad_sweep_file_names_file_line_and_key(cli, tmp_path, text, words):
    (tmp_path / "bad.toml").write_text(text)
    before = tree(tmp_path)
    assert_refused(cli("sweep", *FAKE, "--config", "bad.toml"), words)
    assert tree(tmp_path) == before


def test_an_existing_run_is_not_touched_without_resume(cli, tmp_path):
    assert cli("sweep", *FAKE, *TINY, "--out", "run").code == 0
    before = tree(tmp_path)
    assert_refused(cli("sweep", *FAKE, *TINY, "--out", "run"), "run holds a run already; continue it with --resume")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("--nm", "1"), "nm (1,3 there, 1 here)"),
        (("--h", "32"), "shapes (64x96 there, 32x96 here)"),
        (("--seed", "4"), "seed (0 there, 4 here)"),
        (("--max-seconds", "9"), "measure"),
        (("--no-ceiling",), "ceiling (True there, False here)"),
        (("--variants", "lu"), "variants"),
    ],
)
def test_resuming_another_sweep_says_how_it_differs(cli, tmp_path, changed, words):
    assert cli("sweep", *FAKE, *TINY, "--out", "run").code == 0
    before = tree(tmp_path)
    result = cli("sweep", *FAKE, *TINY, *changed, "--out", "run", "--resume")
    assert_refused(result, "run holds another sweep; it differs in ")
    assert words in result.err
    assert tree(tmp_path) == before


def test_a_fake_run_is_never_continued_for_real(cli):
    assert cli("sweep", *FAKE, *TINY, "--out", "run").code == 0
    assert_refused(cli("sweep", "--executor", "local", *TINY, "--out", "run", "--resume"), "executor")


def test_a_real_sweep_without_cuda_says_what_the_doctor_says(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    result = run_command("sweep", "--device", "cuda", *TINY, cwd=tmp_path)
    assert_refused(result, "no CUDA device can be used here")
    assert "mglubench doctor" in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "nowhere"), "holds no run"),
        (("report",), "Missing argument"),
        (("report", "x" * 300), "x"),
        (("runs", "--colour"), "No such option"),
        (("runs", "x" * 300), "x"),
        (("variants", "--device", "gpu"), "unknown device 'gpu'"),
        (("verify", "--variants", "swiglo", "--executor", "fake"), "did you mean swiglu"),
        (("verify", "--nm", "17", "--executor", "fake"), "nm is 17"),
        (("verify", "--dtype", "fp31", "--executor", "fake"), "unknown dtype"),
        (("verify", "--device", "cuda", "--executor", "fake"), "no CUDA device"),
        (("verify", "--case-timeout", "soon"), "case-timeout"),
        (("swoop",), "No such command 'swoop'"),
    ],
)
def test_other_commands_refuse_in_one_line_too(cli, tmp_path, arguments, words):
    assert_refused(cli(*arguments), words)
    assert list(tmp_path.iterdir()) == []


def test_a_run_from_a_newer_version_is_one_line(cli, tmp_path):
    assert cli("sweep", *FAKE, *TINY, "--out", "run").code == 0
    header = tmp_path / "run" / "run.json"
    header.write_text(header.read_text().replace('"schema": 2', '"schema": 99'))
    assert_refused(cli("report", "run"), "schema 99")


@pytest.mark.parametrize("damage", ["{broken\n", "{}\n", "\0\0\0\n", "[" * 100_000 + "\n"])
def test_a_damaged_row_is_one_line_and_measured_again(cli, tmp_path, damage):
    assert cli("sweep", *FAKE, *TINY, "--out", "run").code == 0
    rows = tmp_path / "run" / "rows.jsonl"
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join([lines[0], damage, *lines[2:]]))
    shown = cli("report", "run")
    assert shown.code == 0
    assert shown.err.count("\n") == 1
    assert "rows.jsonl, line 2: damaged row" in shown.err
    resumed = cli("sweep", *FAKE, *TINY, "--out", "run", "--resume")
    assert (resumed.code, f"{len(lines)} cases: {len(lines)} ok" in resumed.err) == (0, True)
    assert rows.read_text().splitlines(keepends=True)[: len(lines)] == [lines[0], damage, *lines[2:]]


def test_a_sweep_config_that_is_a_folder_is_refused(cli, tmp_path):
    (tmp_path / "folder.toml").mkdir()
    assert_refused(cli("sweep", *FAKE, "--config", "folder.toml"), "no sweep file 'folder.toml'")
