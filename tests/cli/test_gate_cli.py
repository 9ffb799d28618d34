"""The gate as a CI job calls it: exit codes, outputs, refusals in one line; and once for real, killed on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mglubench.results.store import read_header
from mglubench.system.checkout import PREFIX
from mglubench.system.resources import PACKAGE
from tests.conftest import COMMAND, Result, run_command

Cli = Callable[..., Result]
FAKE = ("--executor", "fake")
SWEEP = ("--shape", "64x96", "--nm", "1", "--no-ceiling", "--variants", "lu,swiglu,mglu-naive,mglu-premasked")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git on PATH")


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=x", "-c", "user.email=x@example", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *settings, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def main(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A baseline of three fake runs, in a repository of one commit."""
    monkeypatch.delenv("MGLUBENCH_BASELINES", raising=False)
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    assert cli("repeat", *FAKE, *SWEEP, "--times", "3", "--out", "rep").code == 0
    assert cli("baseline", "save", "main", "rep").code == 0
    return "main"


def slower(done: Result) -> set[str]:
    found = json.loads(done.out)["judgements"]
    return {one["key"].split("/")[0] for one in found if one["verdict"] == "slower"}


@needs_git
def test_the_same_code_passes(cli: Cli, main: str) -> None:
    done = cli("gate", *FAKE, "--baseline", main, "--out", "gate", "--json")
    assert done.code == 0
    assert slower(done) == set()
    assert "repeat 3 of 3" in done.err


@needs_git
@pytest.mark.parametrize("other", [(), ("--base-ref", "HEAD")])
def test_slower_code_is_exit_code_3(
    cli: Cli, main: str, monkeypatch: pytest.MonkeyPatch, other: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MGLUBENCH_FAKE_SLOW", "mglu-premasked=1.3")
    options = ("gate", *FAKE, "--baseline", main, *other, "--out", "gate")
    done = cli(*options, "--json", "--junit", "gate.xml", "--html", "gate.html")
    assert done.code == 3
    assert slower(done) == {"mglu-premasked"}
    assert "confirmed " + ("in turns with --base-ref HEAD" if other else "in 3 runs") in done.out
    assert "<failure" in Path("gate.xml").read_text()
    assert "mglu-premasked" in Path("gate.html").read_text()
    # Once more, in another form: nothing is measured.
    again = cli(*options, "--github")
    assert again.code == 3
    assert "::error" in again.out
    assert "repeat 2" not in again.err
    assert "again 1" not in again.err
    assert cli(*options, "--fail-on", "none").code == 0


@needs_git
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--baseline", "mian"), "'mian' is neither a run nor a baseline in baselines; did you mean main?"),
        (("--baseline", "main", "--base-ref", "nope"), "'nope' is no commit in"),
        (("--baseline", "main", "--base-python", "nope"), "--base-python nope: no such program"),
        (("--baseline", "main", "--base-ref", "HEAD", "--base-python", "python3"), "choose one of --base-ref"),
        (("--baseline", "main", "--times", "1"), "times is 1"),
        (("--baseline", "main", "--shape", "32x48"), "no case of this sweep is in the baseline main"),
        (("--baseline", "main", "--variants", "lv"), "unknown variant 'lv'"),
        (("--baseline", "main", "--out", "rep"), "rep holds something else than a gate"),
        (("--baseline", "main", "--fail-on", "red"), "red"),
        (("--baseline", "main", "--json", "--github"), "choose one of"),
        (("--baseline", "main", "--junit", "there.xml"), "there.xml is there already"),
        ((), "Missing option '--baseline'"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, main: str, arguments: tuple[str, ...], words: str) -> None:
    Path("there.xml").write_text("mine")
    before = sorted(map(str, Path().rglob("[!.]*")))
    done = cli("gate", *FAKE, *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(map(str, Path().rglob("[!.]*"))) == before


PLANTED = """

import time

_prepare = MGLUPremasked.prepare


def _slow(self, problem):
    launch = _prepare(self, problem)

    def run():
        time.sleep(0.002)
        launch()

    return run


MGLUPremasked.prepare = _slow
"""
BRIEF = (
    "--mode",
    "hot",
    "--no-ceiling",
    "--rounds",
    "2",
    "--processes",
    "1",
    "--max-seconds",
    "0.05",
    "--min-samples",
    "3",
)


@needs_git
def test_a_real_gate_runs_both_codes_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    room = tmp_path / "room"
    (room / "kernels_cuda").mkdir(parents=True)
    shutil.copytree(PACKAGE, room / "mglubench", ignore=shutil.ignore_patterns("__pycache__"))
    (room / ".gitignore").write_text("__pycache__/\nruns/\nbaselines/\n")
    git(tmp_path, "init", "-q", str(room))
    git(room, "add", "-A")
    git(room, "commit", "-qm", "first")
    env = {**os.environ, "PYTHONPATH": str(room)}
    env.pop("MGLUBENCH_BASELINES", None)
    sweep = ("--shape", "64x48", "--nm", "1", "--variants", "lu,swiglu,mglu-naive,mglu-premasked", *BRIEF)
    kept = run_command("repeat", *sweep, "--times", "2", "--out", "runs/main", cwd=room, env=env)
    assert kept.code == 0, kept.err
    assert run_command("baseline", "save", "main", "runs/main", cwd=room, env=env).code == 0
    eager = room / "mglubench" / "variants" / "torch_eager.py"
    eager.write_text(eager.read_text() + PLANTED)

    gate = ("gate", "--baseline", "main", "--base-ref", "HEAD", "--times", "2", "--out", "runs/gate", "--json")
    killed = subprocess.Popen(
        [*COMMAND, *gate], cwd=room, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    rows = room / "runs" / "gate" / "new" / "01" / "rows.jsonl"
    until = time.monotonic() + 120
    while not (rows.exists() and rows.stat().st_size) and time.monotonic() < until and killed.poll() is None:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    measured = rows.read_bytes()

    done = run_command(*gate, cwd=room, env=env)
    assert done.code == 3, done.err
    assert "mglu-premasked" in slower(done)
    assert "confirmed in turns with --base-ref HEAD" in done.out
    assert rows.read_bytes().startswith(measured)
    sides = [
        read_header(room / "runs" / "gate" / "again" / side / "01")["environment"]["git"] for side in ("base", "new")
    ]
    assert sides == [{"commit": git(room, "rev-parse", "HEAD"), "dirty": dirty} for dirty in (False, True)]
    # What the kill left is gone, too.
    assert PREFIX not in git(room, "worktree", "list")
