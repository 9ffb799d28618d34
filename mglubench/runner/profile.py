"""Profile cases: start the profiler per setting, join its report by key, and append what it said of each case.

Every case that was asked for gets a row, with figures or with the reason why there are none. A failure that is the
machine's (no permission, no tool, another profiler) ends the profiling: it would be the same for every other case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from mglubench.cases.case import Case
from mglubench.errors import MglubenchError, UnavailableError, UsageError
from mglubench.hardware.devices import Device
from mglubench.hardware.nsight import find_ncu, find_nsys
from mglubench.profilers.ncu import Ncu
from mglubench.profilers.nsys import Nsys
from mglubench.profilers.profiler import START_SECONDS, Attempt, Failure, Profiler, find_tool
from mglubench.results.counters import doubted, failed_row, joined_row
from mglubench.results.csv_text import ERROR
from mglubench.results.profile_files import Profile, read_profile
from mglubench.results.rows import CounterRow, Fact
from mglubench.results.store import RunStore, read_header, read_rows
from mglubench.status import Status

FOLDER = "profiles"
TOOLS = ("ncu", "nsys")
# Outcomes that are nobody's defect.
HARMLESS = (Status.OK, Status.PARTIAL, Status.UNSUPPORTED, Status.UNAVAILABLE, Status.OOM)


def make_profiler(tool: str, capability: str | None) -> Profiler | Failure:
    """The named profiler, or why it cannot be had here.

    Raises:
        UsageError: the environment variable that overrides its path names no program.
    """
    if tool == "ncu":
        program = find_tool(tool, find_ncu())
        if program:
            return Ncu(program, capability)
        advice = "install nsight-compute (it comes with the CUDA toolkit), or set MGLUBENCH_NCU to its path"
    else:
        program = find_tool(tool, find_nsys())
        if program:
            return Nsys(program)
        advice = "install nsight-systems, or set MGLUBENCH_NSYS to its path"
    return Failure(Status.UNAVAILABLE, f"{tool} was not found: {advice}", everyone=True)


def profile_cases(
    store: RunStore,
    cases: Sequence[Case],
    tool: str,
    profiler: Profiler | Failure,
    *,
    case_timeout: float,
    observe: Callable[[Sequence[Case]], None] = lambda cases: None,
) -> list[CounterRow]:
    """Profile every case and append a row for each; returns the rows.

    Raises:
        StoreError: a row could not be written. UsageError: the run's folder cannot be written.
    """
    failure = profiler if isinstance(profiler, Failure) else None
    patience = _Patience()
    rows: list[CounterRow] = []
    for group in _groups(cases):
        observe(group)
        if group[0].device_kind != "cuda":
            why = Failure(Status.UNAVAILABLE, f"{tool} profiles CUDA kernels, this case runs on {group[0].device}")
            new = _all_failed(tool, group, why)
        elif failure or isinstance(profiler, Failure):
            assert failure is not None
            new = _all_failed(tool, group, failure)
        else:
            new, failure = _profile_group(store.folder, group, profiler, case_timeout, patience)
        for row in new:
            store.append_counters(row)
        rows += new
    return rows


class _Patience:
    """Ends the profiling early where nothing was ever counted.

    That is where every case came to its end and the profiler failed all the same, and where one failure met two cases.
    """

    def __init__(self) -> None:
        self._counted = False
        self._met: Failure | None = None

    def judge(self, attempt: Attempt, rows: Iterable[CounterRow], failure: Failure | None) -> Failure | None:
        """The failure of one attempt; one for everyone if the next case would meet it, too."""
        self._counted = self._counted or any(row.status.counted for row in rows)
        if failure is None or failure.everyone or self._counted:
            return failure
        if attempt.begun is None and all(status == Status.OK for status, _ in attempt.outcomes.values()):
            return replace(failure, everyone=True)
        met, self._met = self._met, failure
        if met is None or met.status != failure.status or (met.reason != failure.reason and not met.timed_out):
            return failure
        return Failure(failure.status, f"not tried, as two cases before it met this: {failure.reason}", everyone=True)


def _profile_group(
    run: Path, group: Sequence[Case], profiler: Profiler, case_timeout: float, patience: _Patience
) -> tuple[list[CounterRow], Failure | None]:
    """Rows of one setting's cases; started again without its culprit after a crash, until every case has its row."""
    rows: list[CounterRow] = []
    left = list(group)
    while left:
        stem = _fresh_stem(run, profiler.name)
        attempt = profiler.run(left, stem, START_SECONDS + case_timeout * len(left))
        new, failure = _settle(attempt, left, profiler, run)
        rows += new
        spoken = {row.key for row in rows}
        left = [case for case in left if case.key not in spoken]
        failure = patience.judge(attempt, new, failure)
        if failure is not None and failure.everyone:
            return rows + _all_failed(profiler.name, left, failure), failure
    return rows, None


def _settle(
    attempt: Attempt, cases: Sequence[Case], profiler: Profiler, run: Path
) -> tuple[list[CounterRow], Failure | None]:
    """Rows of the cases that this attempt decides, at least one, and the failure if it had one."""
    tool, failure = profiler.name, attempt.failure
    extra = profiler.facts(cases)
    found = Profile(tool, {}, "is not there" + (f": {attempt.said}" if attempt.said else ""))
    if attempt.report is not None:
        extra["source"] = str(attempt.report.relative_to(run))
        try:
            found = read_profile(attempt.report)
        except MglubenchError as error:
            failure = failure or Failure(Status.GARBAGE, f"{tool} left a report that cannot be read: {error}")
    started = bool(attempt.outcomes or attempt.begun or found.cases)
    if not started:
        # The target never got to its first case: whatever the reason, the other groups would fare the same.
        why = failure or Failure(Status.NO_KERNEL, f"{tool} ended without an error, but profiled nothing")
        why = Failure(why.status, why.reason, everyone=True)
        return _all_failed(tool, cases, why, extra), why
    rows = [row for case in cases if (row := _row(case.key, attempt, failure, found, tool, extra))]
    if not rows:
        rows = _all_failed(tool, cases, failure or Failure(Status.CRASH, f"{tool} lost its report"), extra)
    # Where counters were read, whatever else the log tells is not the machine's refusal.
    return rows, None if any(row.status.counted for row in rows) else failure


def _row(
    key: str, attempt: Attempt, failure: Failure | None, found: Profile, tool: str, extra: Mapping[str, Fact]
) -> CounterRow | None:
    """The row of one case; ``None`` if its turn never came, or its figures were lost with another case's crash."""
    outcome = attempt.outcomes.get(key)
    if key == attempt.begun:
        culprit = failure or Failure(Status.CRASH, "the profiled process ended while it worked on this case")
        return failed_row(tool, key, culprit.status, culprit.reason, extra)
    if outcome and outcome[0] != Status.OK:
        return failed_row(tool, key, *outcome, extra)
    row = joined_row(tool, key, found.cases.get(key), extra, found.why_no_case(key))
    if row.status.counted:
        known = row.status == Status.PARTIAL and failure is not None and failure.everyone
        row = replace(row, reason=f"{row.reason}; {failure.reason}") if known and failure else row
        return doubted(row, found.error or (attempt.said if attempt.said.startswith(ERROR) else ""))
    if attempt.begun is not None or (not outcome and attempt.outcomes):
        return None
    return failed_row(tool, key, failure.status, failure.reason, extra) if failure else row


def _all_failed(
    tool: str, cases: Iterable[Case], why: Failure, extra: Mapping[str, Fact] | None = None
) -> list[CounterRow]:
    return [failed_row(tool, case.key, why.status, why.reason, extra or {}) for case in cases]


def import_profile(store: RunStore, path: Path, *, launches: int | None = None) -> list[CounterRow]:
    """Join a report that was taken by hand to a run's cases, and append a row for each case that it covers.

    Args:
        launches: how many runs of each case the report holds, if it is known; ncu's sums are divided by it.

    Raises:
        UsageError: not a report, or none of its ranges is a case of this run.
        UnavailableError: it needs a package that is not installed.
    """
    found = read_profile(path)
    extra: dict[str, Fact] = {"source": str(path), "launches": launches}
    keys = [row.key for row in read_rows(store.folder)]
    joined = (joined_row(found.tool, key, found.cases[key], extra) for key in keys if key in found.cases)
    rows = [doubted(row, found.error) for row in joined]
    if not rows:
        asked = "" if found.why_empty else "; was it taken of this sweep?"
        raise UsageError(f"{path} fits no case of {store.folder}: {found.why_none_of(keys)}{asked}")
    for row in rows:
        store.append_counters(row)
    return rows


def stored_cases(run: Path) -> list[Case]:
    """The cases of a run that were measured; what is profiled when a run is named instead of a sweep.

    Raises:
        UsageError: no run, or no case of it is finished.
    """
    read_header(run)
    cases = [row.case for row in read_rows(run) if row.status == Status.OK]
    if not cases:
        raise UsageError(f"{run} holds no finished case; finish it with `mglubench sweep --resume`, or name a sweep")
    return cases


def capability_of(devices: Mapping[str, Device]) -> str | None:
    """Compute capability of the first device that has one."""
    return next((device.capability for device in devices.values() if device.capability), None)


def same_devices(stored: Mapping[str, Device], here: Mapping[str, Device]) -> None:
    """Refuse to put one GPU's counters beside another's times.

    Raises:
        UnavailableError: the run was made on other devices than those here.
    """
    for device, then in stored.items():
        now = here[device].name if device in here else "not there"
        if then.name != now:
            raise UnavailableError(f"the run was made on {then.name}, {device} here is {now}")


def exit_code(rows: Sequence[CounterRow]) -> int:
    """0 if figures were read and nothing went wrong, else 1."""
    counts = Counter(row.status for row in rows)
    return 0 if any(status.counted for status in counts) and all(status in HARMLESS for status in counts) else 1


def _groups(cases: Sequence[Case]) -> list[list[Case]]:
    """Runs of cases of one setting, in order."""
    return [list(group) for _, group in groupby(cases, key=lambda case: case.setting)]


def _fresh_stem(run: Path, tool: str) -> Path:
    """A name for one start's files that no earlier start has used."""
    folder = run / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}") from None
    serial = sum(1 for _ in folder.glob(f"{tool}-*.cases.json")) + 1
    while any(folder.glob(f"{tool}-{serial:03d}.*")):
        serial += 1
    return folder / f"{tool}-{serial:03d}"
