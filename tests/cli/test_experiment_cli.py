"""``mglubench experiment``: a run, a kill, a stored run again; bad input is one line, exit code 2, nothing written."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter

import pytest

from mglubench.experiments import fetch_text
from mglubench.system.process import Ended
from tests.conftest import COMMAND, ROOT, tree

TEXT = str(ROOT / "tests" / "fixtures" / "small_text.txt")
TINY = (
    *("--text", TEXT, "--h", "16", "--d", "24", "--layers", "1", "--heads", "2", "--context", "16", "--batch", "2"),
    *("--steps", "4", "--every", "2", "--tests", "8", "--seeds", "2", "--rates", "1e-3,1e-2", "--sweep-steps", "2"),
    *("--retrain-steps", "2"),
)

BAD = {
    "unknown arm": (("ablation", "--arms", "gelu,nm3"), "unknown arm 'nm3'; did you mean"),
    "arm without masks": (("masks", "--arms", "nm1,gelu"), "gelu has no masks that train"),
    "arms to convert": (("convert", "--arms", "nm1"), "convert takes no --arms"),
    "heads": (("ablation", "--h", "30"), "h=30 is no multiple of twice heads=2"),
    "no steps": (("ablation", "--steps", "0"), "steps"),
    "a rate that is none": (("ablation", "--rates", "1e-3,fast"), "--rates takes numbers with commas between them"),
    "a rate of nothing": (("ablation", "--rates", "0"), "rates must be different numbers between 0 and 10"),
    "not a number": (("ablation", "--mask-factors", "nan"), "mask-factors must be different numbers"),
    "one rate twice": (("ablation", "--rates", "1e-3,0.001"), "rates must be different numbers"),
    "no text": (("ablation", "--text", "nowhere"), "nowhere cannot be read"),
    "too little text": (("ablation", "--context", "500"), "needs 1002; give more text"),
    "resume what": (("ablation", "--resume"), "--resume needs --out"),
    "resume nothing": (("ablation", "--resume", "--out", "new"), "new holds no experiment"),
    "of nothing": (("ablation", "--of", "new"), "leave the other options out"),
    "two formats": (("ablation", "--json", "--markdown"), "choose one of --json and --markdown"),
}


@pytest.mark.parametrize(("words", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(cli, tmp_path, words, told):
    name, *others = words
    done = cli("experiment", name, *TINY, *others)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert told in done.err
    assert tree(tmp_path) == {}


def test_offline_is_one_line(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_text, "cache_folder_of_user", lambda: tmp_path / "cache")
    monkeypatch.setattr(fetch_text, "run_process", lambda *a, **k: Ended(1, "", "no network"))
    done = cli("experiment", "ablation", "--quick")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: Django 5.2 cannot be fetched with pip: no network; give a text of your own")
    assert len(done.err.splitlines()) == 1


def test_a_run_prints_tables_that_are_printed_again(cli, tmp_path):
    done = cli("experiment", "ablation", *TINY, "--arms", "gelu,nm2", "--out", "run", "--markdown")
    assert done.code == 0, done.err
    for title in ("Held-out loss after 4 steps", "Learning rates", "Mask bits over a training", "Masks by layer"):
        assert f"### {title}" in done.out
    assert "20 evaluations, stored in run" in done.err
    again = cli("experiment", "ablation", "--of", "run", "--markdown", "--picture", "curves.png")
    assert again.out == done.out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(cli("experiment", "masks", "--of", "run", "--json").out)
    assert document["run"]["environment"]["devices"]["cpu"]["torch_threads"] == 1
    assert document["run"]["setting"]["steps"] == 4
    assert len(document["rows"]) == 20
    assert "Held-out loss" in cli("experiment", "ablation", "--of", "run").out
    refused = cli("experiment", "ablation", *TINY, "--arms", "gelu", "--out", "run")
    assert (refused.code, "holds a run already" in refused.err) == (2, True)
    other = cli("experiment", "ablation", "--of", "nowhere")
    assert (other.code, "nowhere holds no experiment" in other.err) == (2, True)


def test_masks_and_conversions_have_tables_of_their_own(cli):
    done = cli("experiment", "masks", *TINY, "--arms", "nm1", "--rates", "1e-3", "--markdown")
    assert done.code == 0, done.err
    assert done.out.index("### Mask bits over a training") < done.out.index("### Held-out loss")
    done = cli("experiment", "convert", *TINY, "--rates", "1e-3", "--seeds", "1", "--markdown")
    assert done.code == 0, done.err
    assert "### From a trained SwiGLU to masks" in done.out
    assert done.out.count("| larger |") == 2


def test_killed_in_the_middle_it_goes_on(cli, tmp_path):
    """SIGKILL at some moment, then --resume: the rows of a run that was not killed, each once."""
    words = ("experiment", "ablation", *TINY, "--steps", "200", "--every", "50", "--arms", "nm2", "--rates", "1e-3")
    rows = tmp_path / "run" / "rows.jsonl"
    first = subprocess.Popen([*COMMAND, *words, "--out", "run"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until and not (rows.exists() and rows.read_bytes().count(b"\n") >= 3):
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = [json.loads(line)["key"] for line in rows.read_text().splitlines()]
    assert 3 <= len(kept) < 10
    assert cli(*words, "--out", "run", "--resume").code == 0
    assert cli(*words, "--out", "whole").code == 0
    found, wanted = (
        [{**json.loads(line), "cpu_seconds": 0} for line in (tmp_path / name / "rows.jsonl").read_text().splitlines()]
        for name in ("run", "whole")
    )
    assert found == wanted
    assert set(Counter(row["key"] for row in found).values()) == {1}
    assert [row["key"] for row in found][: len(kept)] == kept
