"""A git commit checked out beside the working tree, for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mglubench.errors import UsageError
from mglubench.system.plain_text import plain
from mglubench.system.process import run_process

SECONDS = 300.0
# Before the number of the process that it belongs to.
PREFIX = "mglubench-base-"


def repository_of(folder: Path) -> Path:
    """The working tree that a folder is in.

    Raises:
        UsageError: it is in none, or there is no git.
    """
    found = _git(folder, "rev-parse", "--show-toplevel")
    if found is None:
        raise UsageError(f"{folder} is in no git repository, so there is nothing to check out; use --base-python")
    return Path(found)


def commit_of(repository: Path, ref: str) -> str:
    """The commit that a reference names, in full.

    Raises:
        UsageError: it names none here.
    """
    found = None if ref.startswith("-") else _git(repository, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if not found:
        raise UsageError(
            f"{plain(ref, 100)!r} is no commit in {repository}; fetch it first (in CI, check out with the history)"
        )
    return found


@contextmanager
def checked_out(repository: Path, commit: str) -> Iterator[Path]:
    """A worktree of a commit in a temporary folder; it is gone afterwards, and so is what killed processes left.

    Raises:
        UsageError: git cannot make it.
    """
    _forget_dead(repository)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    try:
        done = run_process(
            ["git", "-C", str(repository), "worktree", "add", "--detach", "--force", str(folder), commit], SECONDS
        )
        if done.code != 0:
            raise UsageError(f"git cannot check out {commit[:10]}: {plain(done.said(), 300)}")
        yield folder
    finally:
        _remove(repository, folder)


def _forget_dead(repository: Path) -> None:
    """Remove worktrees whose processes were killed."""
    for line in (_git(repository, "worktree", "list", "--porcelain") or "").splitlines():
        folder = Path(line.removeprefix("worktree "))
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        ours = line.startswith("worktree ") and folder.name.startswith(PREFIX) and owner.isdigit()
        if ours and not psutil.pid_exists(int(owner)):
            _remove(repository, folder)


def _remove(repository: Path, folder: Path) -> None:
    _git(repository, "worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    _git(repository, "worktree", "prune")


def _git(folder: Path, *arguments: str) -> str | None:
    done = run_process(["git", "-C", str(folder), *arguments], SECONDS)
    return done.out.strip() if done.code == 0 else None
