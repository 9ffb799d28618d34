"""How a profiler is started, and what is made of its log, its exit code and the outcomes of its cases."""

from __future__ import annotations

import json
import sys
import time

import psutil
import pytest

from mglubench.errors import UsageError
from mglubench.profilers.ncu import Ncu
from mglubench.profilers.nsys import LAUNCHES, Nsys
from mglubench.profilers.profiler import (
    failure_in,
    find_tool,
    last_line,
    read_outcomes,
    start,
    write_work,
)
from tests.conftest import make_case

COLD = make_case(mode="cold", device="cuda:0")


def gone(pid):
    """Whether a process has ended, within a few seconds; an orphan may stay as a zombie."""
    for _ in range(50):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def failure(log, code=0):
    return failure_in("ncu", log, code, 5.0)


@pytest.mark.parametrize("code", [0, 1])
def test_a_refused_permission_is_found_in_the_log_whatever_the_exit_code(code):
    said = failure("==PROF== Connected\n==ERROR== ERR_NVGPUCTRPERM - The user does not have permission", code)
    assert (said.status, said.everyone) == ("permission", True)


@pytest.mark.parametrize(
    ("log", "status"),
    [
        ("==ERROR== Profiling failed because a driver resource was unavailable.", "busy"),
        ("Already under profiling", "busy"),
        ("==ERROR== Another profiler is attached", "busy"),
        ("==ERROR== not possible with MIG", "mig"),
        ("==ERROR== Profiling is not supported on this device", "unsupported"),
    ],
)
def test_failures_of_the_machine_concern_every_case(log, status):
    said = failure(log)
    assert (said.status, said.everyone) == (status, True)


def test_an_unknown_metric_is_named():
    said = failure(r"==ERROR== Failed to find metric regex:^dram__bytes_read\.(sum|min|max|avg)$", 1)
    assert said.status == "unknown-metric"
    assert "dram__bytes_read on" in said.reason


def test_a_crash_of_the_program_quotes_its_code():
    said = failure("==ERROR== The application returned an error code (11).", 11)
    assert (said.status, said.everyone) == ("crash", False)
    assert "error code 11" in said.reason


def test_an_exit_code_without_words_is_a_crash_and_none_is_a_timeout():
    assert failure("", 3).reason == "ncu ended with exit code 3"
    assert failure("", None).status == "timeout"
    assert failure("==PROF== Disconnected\nall went well", 0) is None


def test_words_that_only_contain_mig_are_no_mig():
    assert failure("==PROF== migrating pages\nsomething about MIGRATION") is None


def test_the_last_error_is_quoted_before_the_last_line():
    assert last_line("a\n==ERROR== first\n==ERROR== second\nbye\n==PROF== Disconnected") == "==ERROR== second"
    assert last_line("a\nbye\n==PROF== Disconnected") == "bye"
    assert last_line("") == ""


def test_outcomes_tell_the_culprit_even_if_a_line_is_torn(tmp_path):
    path = tmp_path / "o.jsonl"
    lines = [{"key": "a", "status": "begun", "reason": ""}, {"key": "a", "status": "ok", "reason": ""}]
    lines.append({"key": "b", "status": "begun", "reason": ""})
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"key": "b", "sta')
    assert read_outcomes(path) == ({"a": ("ok", "")}, "b")
    assert read_outcomes(tmp_path / "gone") == ({}, None)


def test_an_override_must_be_a_program(monkeypatch, tmp_path):
    assert find_tool("ncu", "/usr/bin/ncu") == "/usr/bin/ncu"
    monkeypatch.setenv("MGLUBENCH_NCU", sys.executable)
    assert find_tool("ncu", None) == sys.executable
    monkeypatch.setenv("MGLUBENCH_NCU", str(tmp_path))
    with pytest.raises(UsageError, match=r"MGLUBENCH_NCU=.* is no program"):
        find_tool("ncu", None)


def test_a_profiler_that_hangs_is_killed_with_its_children(tmp_path):
    child = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    command = [sys.executable, "-c", f"{child}; print(p.pid, flush=True); time.sleep(60)"]
    began = time.monotonic()
    assert start(command, tmp_path / "log", 1.5).code is None
    assert time.monotonic() - began < 10
    pid = int((tmp_path / "log").read_text())
    assert gone(pid)


def test_output_and_exit_code_are_kept(tmp_path):
    assert start([sys.executable, "-c", "print('words'); raise SystemExit(4)"], tmp_path / "log", 30).code == 4
    assert (tmp_path / "log").read_text() == "words\n"


@pytest.mark.parametrize(("mode", "caches"), [("cold", "all"), ("graph", "all"), ("hot", "none")])
def test_the_cache_control_follows_the_mode(mode, caches, tmp_path):
    case = make_case(mode=mode, device="cuda:0")
    ncu = Ncu("/nowhere/ncu", "12.0")
    command = ncu.command([case], tmp_path / "w", tmp_path / "r", tmp_path / "l")
    assert command[command.index("--cache-control") + 1] == caches
    assert command[command.index("--clock-control") + 1] == "none"
    assert "dram__bytes_op_read.sum" in command[command.index("--metrics") + 1]
    assert ncu.facts([case])["cache_control"] == caches


@pytest.mark.parametrize("make", [lambda path: Ncu(path, None), Nsys])
def test_a_program_that_cannot_be_started_is_a_reason(tmp_path, make):
    attempt = make(str(tmp_path / "nothing")).run([COLD], tmp_path / "stem", 5.0)
    assert attempt.failure.status == "unavailable"
    assert attempt.failure.everyone


def test_the_work_file_carries_cases_launches_and_where_to_answer(tmp_path):
    work, outcomes = write_work([COLD], tmp_path / "ncu-001", LAUNCHES)
    document = json.loads(work.read_text())
    assert document["cases"] == [COLD.to_dict()]
    assert document["launches"] == LAUNCHES
    assert document["outcomes"] == str(outcomes)
    assert outcomes.read_text() == ""
    assert work.parent == tmp_path
