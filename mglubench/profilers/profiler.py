"""Cases through a profiler: start it, wait, and tell from its log, its exit code and the cases' outcomes what happened.

A profiler is started once per group of cases that share a setting: starting Python, torch and the profiler takes
seconds, and a group's cases share their inputs. The price is that a crash takes the group's report along, so the target
writes down which case it works on; the crash is charged to that case alone and the rest is started again without it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mglubench.cases.case import Case
from mglubench.errors import UsageError
from mglubench.status import Status
from mglubench.system.process import Ended, run_process

START_SECONDS = 120.0
TARGET = "mglubench.profilers.target"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a profiler gave nothing.

    Attributes:
        status: one word for the row. reason: one line, with what to do. everyone: the machine's fault, not a case's.
    """

    status: Status
    reason: str
    everyone: bool = False

    @property
    def timed_out(self) -> bool:
        """Whether it is that the profiler took too long."""
        return self.status == Status.TIMEOUT


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a profiler over some cases.

    Attributes:
        report: what it saved, if it did. outcomes: status and reason of every case that came to its end.
        begun: the case that was being worked on when the process ended, if any. failure: what the log or the exit
            code tells, if it tells of a failure. said: the tool's own last error or warning, if there is one.
    """

    report: Path | None
    outcomes: dict[str, tuple[Status, str]] = field(default_factory=dict)
    begun: str | None = None
    failure: Failure | None = None
    said: str = ""


class Profiler(Protocol):
    """A tool that runs cases and leaves a report."""

    name: str

    def run(self, cases: Sequence[Case], stem: Path, timeout: float) -> Attempt:
        """Profile cases of one setting in one process; files are named after ``stem``."""
        ...

    def facts(self, cases: Sequence[Case]) -> dict[str, str | int]:
        """How these cases are profiled; kept in their rows."""
        ...


# What the tools say, from their documentation and from reports of their users; the first match wins.
_SAYINGS: tuple[tuple[str, Status, str, bool], ...] = (
    (
        r"ERR_NVGPUCTRPERM|permission to access NVIDIA GPU Performance Counters",
        Status.PERMISSION,
        "reading GPU counters is not permitted (ERR_NVGPUCTRPERM): run as root, load the nvidia module with "
        "NVreg_RestrictProfilingToAdminUsers=0, or start the container with --cap-add SYS_ADMIN",
        True,
    ),
    (
        r"driver resource was unavailable|concurrently collecting profiling data|Already under profiling",
        Status.BUSY,
        "another tool holds the GPU's counters, often DCGM: stop it (dcgmi profile --pause) and profile again",
        True,
    ),
    (
        r"another profiler|other profiler|already (being )?(profiled|attached)|multiple profilers",
        Status.BUSY,
        "another profiler is attached: end it (nsys, ncu, CUPTI, a debugger) and profile again",
        True,
    ),
    (
        r"^==ERROR==.*(driver (is|was) not compatible|installed driver|driver version|incompatible.*driver|driver.* too"
        r" old)|CUDA driver version is insufficient|NVIDIA driver on your system is too old",
        Status.UNAVAILABLE,
        "profiler and driver do not fit: update the driver, or use the Nsight that came with it",
        True,
    ),
    (
        r"^==ERROR==.*(Unable|Failed) to (initiali[sz]e|load)",
        Status.UNAVAILABLE,
        "the profiler cannot be initialised here: look whether nvidia-smi works",
        True,
    ),
    (
        r"\bMIG\b|Multi-Instance",
        Status.MIG,
        "this GPU is split by MIG and withholds counters of shared units: profile on a whole GPU",
        True,
    ),
    (
        r"not supported (on|by) (this|the) (device|GPU|chip)|unsupported (device|GPU|chip)|Profiling is not supported",
        Status.UNSUPPORTED,
        "this version of the profiler does not know this GPU: install a newer one",
        True,
    ),
)
_UNKNOWN_METRIC = re.compile(r"Failed to find metric (?:regex:\^)?([\w.]+)")
_ERROR_CODE = re.compile(r"application returned an error code \((-?\d+)\)")


def find_tool(name: str, found: str | None) -> str | None:
    """Path of a profiler: ``MGLUBENCH_NCU`` or ``MGLUBENCH_NSYS`` if set, else what was found.

    Raises:
        UsageError: the variable names no program.
    """
    variable = f"MGLUBENCH_{name.upper()}"
    override = os.environ.get(variable)
    if not override:
        return found
    program = shutil.which(override)
    if program is None:
        raise UsageError(f"{variable}={override} is no program that can be run; unset it, or give the path of {name}")
    return program


def write_work(cases: Sequence[Case], stem: Path, launches: int) -> tuple[Path, Path]:
    """The cases' file for the target, and the (empty) file of their outcomes."""
    outcomes, work = stem.with_suffix(".outcomes.jsonl"), stem.with_suffix(".cases.json")
    outcomes.write_text("")
    document = {"cases": [case.to_dict() for case in cases], "launches": launches, "outcomes": str(outcomes)}
    work.write_text(json.dumps(document, indent=1))
    return work, outcomes


def target_command(work: Path) -> list[str]:
    """What the profiler starts."""
    return [sys.executable, "-m", TARGET, str(work)]


def start(command: Sequence[str], log: Path, timeout: float, *, capped: bool = True) -> Ended:
    """Run a profiler to its end, or kill it when its time is up, with its output in ``log`` and in English."""
    return run_process(command, timeout, output=log, capped=capped, env={"LC_ALL": "C"})


def read_back(attempt: Attempt, tool: str, ended: Ended, report: Path, log: str) -> Attempt:
    """The attempt with the readable form of its report, unless the tool did not come to the end of making it.

    What it had made until then is no report: a part of the kernels gives a part of the sums.
    """
    if ended.code == 0:
        return replace(attempt, report=report if report.is_file() and report.stat().st_size else None)
    how = "took too long and was killed" if ended.code is None else f"ended with exit code {ended.code}"
    said = words_of_tool(log) or last_line(log)
    reason = f"{tool} left a report that it could not read back: it {how}" + (f": {said}" if said else "")
    return replace(attempt, report=None, failure=attempt.failure or Failure(Status.GARBAGE, reason, everyone=False))


def read_outcomes(path: Path) -> tuple[dict[str, tuple[Status, str]], str | None]:
    """Status and reason by key of the cases that ended, and the key of the one that only began."""
    ended: dict[str, tuple[Status, str]] = {}
    begun: str | None = None
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if entry["status"] == "begun":
                begun = entry["key"]
            else:
                ended[entry["key"]] = (Status(entry["status"]), entry["reason"])
                begun = None
    return ended, begun


def failure_in(tool: str, log: str, code: int | None, timeout: float) -> Failure | None:
    """What a profiler's log and exit code tell; a permission error can come with exit code 0."""
    for pattern, status, reason, everyone in _SAYINGS:
        if found := re.search(pattern, log, re.IGNORECASE | re.MULTILINE):
            return Failure(status, f"{reason}{_quoted(tool, log, found)}", everyone)
    if unknown := _UNKNOWN_METRIC.search(log):
        reason = f"{tool} knows no metric {unknown[1].strip('.')} on this GPU: update Nsight Compute"
        return Failure(Status.UNKNOWN_METRIC, reason, True)
    if code is None:
        return Failure(Status.TIMEOUT, f"{tool} took longer than {timeout:g} s and was killed; raise --case-timeout")
    if died := _ERROR_CODE.search(log):
        return Failure(Status.CRASH, f"the profiled process died (error code {died[1]}): {last_line(log)}")
    if code:
        said = last_line(log)
        if code < 0:
            killed = f"{tool} was killed by {_signal_name(-code)}"
            return Failure(Status.CRASH, killed + (f"; its last words: {said}" if said else ""))
        return Failure(Status.CRASH, f"{tool} ended with exit code {code}" + (f": {said}" if said else ""))
    return None


def _quoted(tool: str, log: str, found: re.Match[str]) -> str:
    """The line in which a saying was found, and the error before it that it explains."""
    first, last = log.rfind("\n", 0, found.start()) + 1, log.find("\n", found.end())
    line = " ".join(log[first : last if last >= 0 else None].split())
    before = log[:first].rstrip().rpartition("\n")[2].strip()
    if line.startswith("==ERROR==") and before.startswith("==ERROR==") and before.endswith(":"):
        line = f"{before} {line}"
    return f"; {tool} said: {line[:300]}"


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def words_of_tool(log: str) -> str:
    """The last error in a log of ncu or nsys, else its last warning; empty if there is neither."""
    lines = [line.strip() for line in log.splitlines()]
    for marks in (("==ERROR==",), ("==WARNING==", "WARNING:")):
        said = [line for line in lines if line.startswith(marks)]
        if said:
            return said[-1][:300]
    return ""


def last_line(log: str) -> str:
    """The last error that a log tells of, else its last line that is no progress report of ncu, shortened."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("==PROF==")]
    errors = [line for line in lines if "ERROR" in line or "Error" in line]
    return (errors or lines or [""])[-1][:300]


def attempt_of(
    tool: str, code: int | None, logs: Sequence[Path], outcomes: Path, report: Path, timeout: float
) -> Attempt:
    """Put together what one run left behind."""
    log = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in logs if path.exists())
    ended, begun = read_outcomes(outcomes)
    saved = report if report.is_file() and report.stat().st_size else None
    return Attempt(saved, ended, begun, failure_in(tool, log, code, timeout), words_of_tool(log))
