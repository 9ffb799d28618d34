"""The how-tos: every command and every piece of Python as it is on the page, on a session that pretends to measure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_profile_cli import program
from tests.conftest import ROOT, Result
from tests.test_ci_commands import run_as_written

Cli = Callable[..., Result]
PAGES = ("measure_a_kernel", "read_a_report", "add_a_variant", "profile_by_hand", "gpu_campaign")
BLOCK = re.compile(r"```(sh|python|toml)(?: file=(\S+))?\n(.*?)```", flags=re.DOTALL)
ON_A_GPU = PAGES[-2:]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with stand-ins for ncu and nsys on PATH."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("ncu", "nsys"):
        monkeypatch.setenv(f"MGLUBENCH_{name.upper()}", program(tools, f"stub_{name}.py"))
    (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tools / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("STUB_NCU_CALLS", str(tmp_path / "calls.jsonl"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def shell(line: str) -> Result:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_how_to_runs(cli: Cli, room: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    if page in ON_A_GPU:
        monkeypatch.setenv("MGLUBENCH_FAKE_CUDA", "1")
    ran = 0
    for kind, file, text in BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text()):
        if file:
            Path(file).write_text(text)
        elif kind == "python":
            # A function is measured by a clock, so it is told to take less time.
            exec(compile(text.replace("d=96)", "d=96, max_seconds=0.02)"), page, "exec"), {})
        for line in text.splitlines() if kind == "sh" else ():
            # In a shell a command leaves no plug-ins to the next.
            monkeypatch.setenv("MGLUBENCH_PLUGINS", "")
            done = run_as_written(cli, line) if line.startswith("mglubench ") else shell(line)
            assert (done.code, "error:" in done.err) == (0, False), f"{line}: {done.err}"
            ran += 1
    assert ran >= 2


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert [page for page in sorted(pages) if f"({page})" not in index] == []
