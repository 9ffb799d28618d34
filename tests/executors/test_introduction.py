"""Workers of other code: they say who they are, and those that would misread a request are refused in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from mglubench.errors import MglubenchError, UsageError
from mglubench.executors.introduction import PROTOCOL, Introduction, Launch, package_digest, why_cannot_talk
from mglubench.executors.open import open_session
from mglubench.executors.other_side import checkout_side, python_side
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.executors.worker import answer
from mglubench.system.checkout import commit_of, repository_of
from mglubench.system.resources import PACKAGE

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git on PATH")


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=x", "-c", "user.email=x@example", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *settings, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """A repository with this mglubench, committed, and a change in its working tree."""
    room = tmp_path / "room"
    (room / "kernels_cuda").mkdir(parents=True)
    shutil.copytree(PACKAGE, room / "mglubench", ignore=shutil.ignore_patterns("__pycache__"))
    git(tmp_path, "init", "-q", str(room))
    git(room, "add", "-A")
    git(room, "commit", "-qm", "first")
    yield room
    assert len(git(room, "worktree", "list").splitlines()) == 1


def test_the_protocol_is_raised_when_what_is_said_changes() -> None:
    """Who changes a reply changes this test, and raises PROTOCOL unless older sides read it all the same."""
    replies = {kind.__name__: [field.name for field in fields(kind)] for kind in (Prepared, Block, Finished)}
    assert (PROTOCOL, replies) == (
        1,
        {
            "Prepared": ["check", "ledger", "timer", "seconds"],
            "Block": ["samples", "discarded", "telemetry", "seconds", "copies", "settling", "reason"],
            "Finished": ["check", "seconds", "notes"],
        },
    )


def test_an_introduction_crosses_the_pipe() -> None:
    told = Introduction.here()
    assert Introduction.from_dict(told.to_dict()) == told
    assert (told.package, told.digest) == (str(PACKAGE), package_digest())
    assert set(told.host()) == {"python", "packages", "git", "variables"}
    with pytest.raises(ValueError):
        Introduction.from_dict({"protocol": "new"})


def test_code_that_cannot_talk_is_refused() -> None:
    told, launch = Introduction.here(), Launch(name="--base-ref old")
    assert why_cannot_talk(launch, told) is None
    assert "too old" in str(why_cannot_talk(launch, None))
    assert "newer protocol 2" in str(why_cannot_talk(launch, replace(told, protocol=PROTOCOL + 1)))
    assert "older protocol 0" in str(why_cannot_talk(launch, replace(told, protocol=0)))
    elsewhere = replace(launch, package="/nowhere/mglubench")
    assert "not from /nowhere/mglubench" in str(why_cannot_talk(elsewhere, told))


def test_a_worker_that_does_not_understand_says_so() -> None:
    """As workers answered that knew nothing of introductions: the caller takes it as none."""
    reply = answer({"do": "greet", "id": 1}, None)  # type: ignore[arg-type]
    assert reply["error"]["status"] == "error"


@needs_git
def test_a_commit_runs_in_a_worker_of_its_own(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    first = git(repository, "rev-parse", "HEAD")
    assert (repository_of(repository / "mglubench"), commit_of(repository, "HEAD")) == (repository, first)
    (repository / "mglubench" / "status.py").write_text("raise SystemExit('the working tree is not asked')\n")
    with checkout_side("HEAD", repository) as launch, open_session("child", 60.0, launch) as opened:
        assert opened.told is not None
        assert opened.told.package == launch.package
        assert Path(launch.package).parent.parent != repository
        assert opened.told.git == {"commit": first, "dirty": False}
        tree = Path(launch.package).parent
        assert tree.is_dir()
    assert not tree.exists()


@needs_git
def test_a_commit_of_before_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = repository / "mglubench" / "executors" / "worker.py"
    worker.write_text(worker.read_text().replace('request == "introduce"', 'request == "nothing"'))
    git(repository, "commit", "-qam", "second")
    with (
        checkout_side("HEAD", repository) as launch,
        pytest.raises(UsageError, match=r"--base-ref HEAD: its mglubench is too old"),
        open_session("child", 60.0, launch),
    ):
        pass


@needs_git
def test_a_worker_that_cannot_start_is_one_line(repository: Path) -> None:
    (repository / "mglubench" / "executors" / "worker.py").write_text("import nothing_of_the_kind\n")
    git(repository, "commit", "-qam", "second")
    with (
        checkout_side("HEAD", repository) as launch,
        pytest.raises(MglubenchError, match=r"--base-ref HEAD: the worker exited with code 1; it said: ModuleNotFound"),
        open_session("child", 60.0, launch),
    ):
        pass


@needs_git
@pytest.mark.parametrize("ref", ["nope", "--help", "HEAD~9", ""])
def test_what_is_no_commit_is_one_line(repository: Path, ref: str) -> None:
    with pytest.raises(UsageError, match=r"is no commit in .*; fetch it first"), checkout_side(ref, repository):
        pass


@needs_git
def test_outside_of_a_repository_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(UsageError, match="is in no git repository"), checkout_side("HEAD", tmp_path):
        pass


def test_another_python_does_not_find_this_mglubench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PACKAGE.parent), str(tmp_path)]))
    launch = python_side(sys.executable)
    assert launch.env == {"PYTHONPATH": str(tmp_path)}
    with pytest.raises(UsageError, match=r"--base-python nowhere/python: no such program"):
        python_side("nowhere/python")
    with pytest.raises(UsageError, match="no such program"):
        python_side(str(tmp_path))
