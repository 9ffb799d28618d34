"""Child processes and all that they start: how they end, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mglubench.system.process import Child, marked, run_process

# Starts one process that it waits for, one in a session of its own, and a daemon that has lost its parents.
FAMILY = """
import os, subprocess, sys, time
sleep = ["sleep", "60"]
pids = [subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if daemon := os.fork():
        os.write(write, str(daemon).encode())
        os._exit(0)
    time.sleep(60)
    os._exit(0)
os.wait()
print(*pids, int(os.read(read, 20)), flush=True)
"""


def gone(pid, seconds=10.0):
    """Whether a process ends within so many seconds; an orphan may stay as a zombie."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def program(tmp_path):
    """A file with a Python program."""

    def write(text):
        (tmp_path / "program.py").write_text(text)
        return sys.executable, str(tmp_path / "program.py")

    return write


@pytest.mark.parametrize(("ending", "code"), [("time.sleep(60)", None), ("os._exit(3)", 3), ("os.abort()", -6)])
def test_whatever_a_process_started_ends_with_it(program, ending, code):
    ended = run_process(program(FAMILY + ending), 1.5)
    assert ended.code == code
    pids = [int(word) for word in ended.out.split()]
    assert len(pids) == 3
    assert all(gone(pid) for pid in pids)


def test_a_process_dies_with_the_one_that_started_it(program, tmp_path):
    pid = tmp_path / "pid"
    parent = (
        f"from mglubench.system.process import run_process; run_process(['sh', '-c', 'echo $$ > {pid}; sleep 60'], 60)"
    )
    running = subprocess.Popen(program(parent))
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.02)
    running.kill()
    running.wait()
    assert gone(int(pid.read_text()))


def test_output_errors_and_exit_code_are_kept(tmp_path):
    ended = run_process(("sh", "-c", "echo out; echo err >&2; exit 4"), 30.0, log=tmp_path / "log")
    assert (ended.code, ended.out, ended.err, ended.started) == (4, "out\n", "err\n", True)
    assert (tmp_path / "log").read_text().endswith("\nout\nerr\nexit code 4\n")


def test_output_goes_to_a_file_as_it_comes(tmp_path):
    log = tmp_path / "log"
    command = ("sh", "-c", f"echo one; while ! grep -q one {log}; do sleep 0.05; done; echo two >&2")
    assert run_process(command, 30.0, output=log).code == 0
    assert log.read_text() == "one\ntwo\n"


def test_endless_output_loses_its_middle_and_nothing_else_is_capped(tmp_path):
    command = ("sh", "-c", "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last")
    assert run_process(command, 30.0, output=tmp_path / "log").code == 0
    assert run_process(command, 30.0, output=tmp_path / "report", capped=False).code == 0
    log = (tmp_path / "log").read_bytes()
    assert len(log) < 1_500_000
    assert log.startswith(b"first\n")
    assert log.endswith(b"x\nlast\n")
    assert b"the middle of this log is left out" in log
    assert (tmp_path / "report").stat().st_size == 3_000_012


@pytest.mark.parametrize("words", [("/nowhere/program",), ("no-program-of-this-name", "x")])
def test_what_cannot_be_started_is_said_and_not_raised(words):
    ended = run_process(words, 5.0)
    assert (ended.started, ended.code) == (False, 127)
    assert ended.said() == f"{words[0]} cannot be started: No such file or directory"


def test_a_file_that_is_no_program_is_said_too(tmp_path):
    (tmp_path / "text").write_text("words")
    assert "Permission denied" in run_process((str(tmp_path / "text"),), 5.0).said()
    (tmp_path / "text").write_bytes(b"\x00\x01")
    (tmp_path / "text").chmod(0o755)
    ended = run_process((str(tmp_path / "text"),), 5.0)
    assert ended.code != 0
    assert "cannot be started: Exec format error" in ended.said()


def test_an_interruption_kills_and_passes_on(monkeypatch):
    started = []

    def interrupted(self, seconds):
        started.append(self.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(Child, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_process(("sleep", "60"), 60.0)
    assert gone(started[0])


def test_a_process_of_its_own_group_gets_no_signal_of_ours(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        child = Child(("sleep", "60"), log.fileno())
    try:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        assert not child.ended()
    finally:
        assert child.end() == -signal.SIGKILL


def test_only_what_carries_the_mark_is_found():
    running = subprocess.Popen(("sleep", "60"), env={**os.environ, "MGLUBENCH_STARTED_BY": "a:some-mark"})
    try:
        assert marked("some-mark") == [running.pid]
        assert marked("another-mark") == []
    finally:
        running.kill()
        running.wait()
