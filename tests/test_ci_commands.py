"""The commands of docs/ci.md, each as it stands there, on fake sessions and with a stand-in compiler."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.test_cli_kernels import COMPILER, CUOBJDUMP, NAME, RECORDED
from tests.conftest import ROOT, Result

Cli = Callable[..., Result]
PAGE = (ROOT / "docs" / "ci.md").read_text()
# Where a command runs, its line begins with a dash, with `run:`, or with itself.
LINE = re.compile(r"^\s*(?:- )?(?:run: )?(mglubench .*)$", flags=re.MULTILINE)
MEASURING = ("gate", "repeat", "verify", "sweep", "profile", "campaign")
VARIABLES = {
    "COMMIT": "c0ffee",
    "BASE": "HEAD",
    "GITHUB_SHA": "a" * 40,
    "CI_COMMIT_SHA": "b" * 40,
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD",
    "GITHUB_STEP_SUMMARY": "summary.md",
}


def commands(kind: str) -> Iterator[str]:
    for block in re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL):
        yield from LINE.findall(block)


@pytest.fixture
def room(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository of one commit, with stand-in tools on PATH."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("nvcc", COMPILER), ("cuobjdump", CUOBJDUMP.format(recorded=RECORDED, name=NAME))):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MGLUBENCH_BASELINES", raising=False)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    settings = ("-c", "user.name=x", "-c", "user.email=x@example", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), (*settings, "commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def run_as_written(cli: Cli, line: str) -> Result:
    """What a shell would make of a line, in this process and with the fake executor."""
    words, _, summary = line.partition(" >> ")
    given = shlex.split(os.path.expandvars(words))[1:]
    done = cli(*given, *(("--executor", "fake") if given[0] in MEASURING else ()))
    if summary:
        with Path(shlex.split(os.path.expandvars(summary))[0]).open("a") as file:
            file.write(done.out)
    return done


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on PATH")
@pytest.mark.parametrize("kind", ["sh", "yaml"])
def test_every_command_of_the_page_runs(cli: Cli, room: Path, kind: str) -> None:
    lines = list(commands(kind))
    assert len(lines) >= 6
    if kind == "yaml":
        # What the page says is there by then: pins that are committed, a baseline that main has saved.
        for line in commands("sh"):
            run_as_written(cli, line)
        shutil.rmtree("runs")
        Path("gate.xml").unlink()
    for line in lines:
        done = run_as_written(cli, line)
        assert (done.code, "error" in done.err) == (0, False), f"{line}: {done.err}"
        if "--out runs/gate-ci" in line and "--junit" in line:
            assert Path("gate.xml").read_text().startswith("<?xml")
            Path("gate.xml").unlink()
        if "$CI_COMMIT_SHA" not in line and line.startswith("mglubench history"):
            assert "mglu" in Path("summary.md").read_text()
        if line.startswith("mglubench history"):
            shutil.rmtree("runs")
    assert not list(room.glob("**/.git/worktrees/*"))


def test_the_page_tells_the_exit_codes() -> None:
    from mglubench.results.judgement import EXIT_CODES

    assert [int(code) for code in re.findall(r"^\| (\d) \|", PAGE, flags=re.MULTILINE)] == sorted(EXIT_CODES)


def test_every_path_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:mglubench|tests|docs|reports)/[\w./-]+)`", PAGE)
    assert len(named) >= 2
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_workflows_are_yaml_with_jobs() -> None:
    yaml = pytest.importorskip("yaml")
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    github, gitlab = (yaml.safe_load(block) for block in blocks)
    assert set(github["jobs"]) == {"static", "gate", "baseline"} == set(gitlab)
    # Without a GPU there is a job, and it is the static one.
    assert github["jobs"]["static"]["runs-on"].startswith("ubuntu")
    assert "self-hosted" in github["jobs"]["gate"]["runs-on"]
