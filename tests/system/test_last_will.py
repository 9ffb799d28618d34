"""What others start for a process ends with it, even if that is killed by SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from mglubench.system.last_will import LastWill
from mglubench.system.process import MARK

# A daemon as libraries start them: in a session of its own, nobody's child.
DAEMON = """
import subprocess, sys
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
"""
OWNER = f"""
import subprocess, sys, time
from mglubench.system.last_will import LastWill
will = LastWill()
with will.over_what_starts():
    subprocess.run([sys.executable, "-c", {DAEMON!r}], check=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not psutil.pid_exists(pid)


def test_daemons_end_with_a_process_that_is_killed():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    daemon = int(owner.stdout.readline())
    assert psutil.pid_exists(daemon)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert gone(daemon)


def test_what_started_outside_of_it_lives_on_when_it_is_carried_out(monkeypatch):
    monkeypatch.setenv(MARK, "of somebody else")
    will = LastWill()
    before = subprocess.Popen(["sleep", "60"])
    with will.over_what_starts():
        assert os.environ[MARK].startswith("of somebody else:")
        inside = subprocess.Popen(["sleep", "60"])
    assert os.environ[MARK] == "of somebody else"
    will.carry_out()
    assert inside.wait(10) == -signal.SIGKILL
    assert before.poll() is None
    before.kill()
    before.wait()
