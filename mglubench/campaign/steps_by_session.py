"""Steps of a campaign that measure through sessions: verify, sweep, profile, the A/A test, an independent clock."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from mglubench.campaign.definition import Step
from mglubench.campaign.outcome import Outcome, StepStatus
from mglubench.campaign.step import LEAST_SECONDS, Appender, Bench
from mglubench.campaign.unit_rows import ClockedRow, VerifiedRow
from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import SweepSpec
from mglubench.executors.open import Opened
from mglubench.hardware.devices import devices_in
from mglubench.measure.measurement import Measurement
from mglubench.results.repeat_notebook import remember
from mglubench.results.repeats import read_repeats
from mglubench.results.store import HEADER, RunStore, read_counters, read_header, read_rows, read_spec
from mglubench.runner.plan import Plan
from mglubench.runner.profile import (
    HARMLESS,
    capability_of,
    make_profiler,
    profile_cases,
    same_devices,
    stored_cases,
)
from mglubench.runner.progress import Progress
from mglubench.runner.sweep import Swept, run_sweep
from mglubench.runner.verify import verify as check
from mglubench.runner.verify import verify_plan
from mglubench.status import Status
from mglubench.system.process import run_process

RUNS = "runs"
# Guesses of what a unit takes until one has been seen; preparing and checking come on top of a case's sampling.
VERIFY_SECONDS, PROFILE_SECONDS, SWEEP_EXTRA_SECONDS = 5.0, 60.0, 3.0


def run_folder(folder: Path, name: str) -> Path:
    """Where a sweep step keeps its run."""
    return folder / RUNS / name


def repeat_names(step: Step) -> list[str]:
    """The run folders of an A/A step, below ``runs``."""
    return [f"{step.name}/{number:02d}" for number in range(1, int(step.options["repeats"]) + 1)]


def verify(bench: Bench, step: Step) -> Outcome:
    """Every variant against float64 on the device."""
    options, file = step.options, f"{step.name}.jsonl"
    done = bench.rows(file, VerifiedRow)
    names, nms = ",".join(options["variants"]) or None, ",".join(options["nm"]) or None
    with bench.open_session(bench.log(step.name), options["timeout"]) as session:
        cases = verify_plan(session, names, bench.campaign.device, ",".join(options["dtype"]), nms)
        with Appender(bench.folder / file) as rows:
            for case in cases:
                if case.key in done:
                    continue
                if not bench.slice.starts(VERIFY_SECONDS):
                    return Outcome(StepStatus.PART, f"{len(done)} of {len(cases)} cases", (file,), len(done))
                verdict = next(iter(check(session, [case])))
                done[case.key] = {
                    "key": case.key,
                    "status": verdict.status,
                    "reason": verdict.reason,
                    "relative": verdict.relative,
                    "case": case.to_dict(),
                    "failed": verdict.failed,
                }
                rows.append(done[case.key])
    bad = [row for row in done.values() if row["failed"]]
    reason = f"{len(bad)} of {len(done)} cases; {bad[0]['key']}: {bad[0]['reason']}" if bad else ""
    return Outcome(StepStatus.FAILED if bad else StepStatus.OK, reason, (file,), len(done))


def sweep(bench: Bench, step: Step) -> Outcome:
    """Measure a sweep into its run folder; whole groups, as many as the slice has time for."""
    assert step.sweep is not None
    folder = run_folder(bench.folder, step.name)
    swept = _measure(bench, step.sweep, folder, bench.log(step.name))
    if swept.note:
        bench.say(f"  {swept.note}")
    artefacts, done = (bench.relative(folder),), swept.counts.total()
    if swept.left:
        return Outcome(StepStatus.PART, f"{done} of {swept.cases} cases", artefacts, done)
    return Outcome(*_sweep_verdict(swept), artefacts, done)


def _measure(bench: Bench, spec: SweepSpec, folder: Path, log: Path) -> Swept:
    """Measure what a run folder does not have yet, in a fresh session, as far as the slice has time."""
    pace = _Pace(spec.measure.max_seconds + SWEEP_EXTRA_SECONDS)

    @contextmanager
    def opened(case_timeout: float) -> Iterator[Opened]:
        with bench.open_session(log, case_timeout) as session:
            yield Opened(session)

    def until(group: Sequence[Case]) -> bool:
        return not bench.slice.starts(len(group) * pace.seconds_per_case())

    return run_sweep(spec, opened, folder, resume=(folder / HEADER).exists(), progress=pace, until=until)


class _Pace(Progress):
    """What a case has taken so far in this slice, in seconds; a guess before the first."""

    def __init__(self, guess: float) -> None:
        self._guess, self._measured = guess, 0
        self._start = time.perf_counter()

    def planned(self, plan: Plan, folder: Path, done: int) -> None:
        self._start = time.perf_counter()

    def finished(self, measurement: Measurement) -> None:
        self._measured += 1

    def seconds_per_case(self) -> float:
        return (time.perf_counter() - self._start) / self._measured if self._measured else self._guess


def _sweep_verdict(swept: Swept) -> tuple[StepStatus, str]:
    """``failed`` where ``mglubench sweep`` would exit with code 1."""
    if swept.good:
        return StepStatus.OK, swept.words()
    rows = list(read_rows(swept.folder))
    if bad := [row for row in rows if row.status.defect]:
        return StepStatus.FAILED, f"{swept.words()}; {bad[0].key}: {bad[0].reason}"
    return StepStatus.FAILED, "no case was measured: " + next((row.reason for row in rows), "no case")


def aa(bench: Bench, step: Step) -> Outcome:
    """The same sweep again and again, each time in a fresh session and a run folder of its own."""
    assert step.sweep is not None
    names = repeat_names(step)
    (bench.folder / RUNS / step.name).mkdir(parents=True, exist_ok=True)
    artefacts = (f"{RUNS}/{step.name}",)
    for number, name in enumerate(names):
        folder = run_folder(bench.folder, name)
        cases = read_header(folder)["cases"] if (folder / HEADER).exists() else None
        if cases is not None and sum(1 for _ in read_rows(folder)) == cases:
            continue
        if not bench.slice.fits(LEAST_SECONDS) or _measure(bench, step.sweep, folder, bench.log(step.name)).left:
            return Outcome(StepStatus.PART, f"{number} of {len(names)} repeats", artefacts, number)
    bad = [row for name in names for row in read_rows(run_folder(bench.folder, name)) if row.status != Status.OK]
    reason = f"{len(bad)} cases were not measured; {bad[0].key}: {bad[0].reason}" if bad else ""
    folders = [run_folder(bench.folder, name) for name in names]
    if why := remember(read_repeats(folders), read_header(folders[-1]), step.name):
        bench.say(f"  {why}")
    return Outcome(StepStatus.FAILED if bad else StepStatus.OK, reason, artefacts, len(names))


def profile(bench: Bench, step: Step) -> Outcome:
    """Counters of a sweep step's measured cases by ncu, setting by setting, into that run folder."""
    folder = run_folder(bench.folder, step.options["of"])
    cases = _chosen(folder, step)
    same_devices(devices_in(read_header(folder)["environment"]), bench.machine.devices)
    profiler = make_profiler("ncu", capability_of(bench.machine.devices))
    artefacts = (bench.relative(folder / "counters.jsonl"),)
    timeout = read_spec(folder).measure.case_timeout
    with RunStore.resume(folder) as store:
        for _, group in groupby(cases, key=lambda case: case.setting):
            have = {row.key for row in read_counters(folder) if row.tool == "ncu"}
            left = [case for case in group if case.key not in have]
            if not left:
                continue
            if not bench.slice.starts(PROFILE_SECONDS):
                done = sum(case.key in have for case in cases)
                return Outcome(StepStatus.PART, f"{done} of {len(cases)} cases", artefacts, done)
            bench.say(f"  ncu {left[0].setting.title()}")
            profile_cases(store, left, "ncu", profiler, case_timeout=timeout)
    return Outcome(*_profile_verdict(folder, cases), artefacts, len(cases))


def _profile_verdict(folder: Path, cases: Sequence[Case]) -> tuple[StepStatus, str]:
    last = {row.key: row for row in read_counters(folder) if row.tool == "ncu"}
    rows = [last[case.key] for case in cases]
    good = sum(row.status == Status.OK for row in rows)
    bad = [row for row in rows if row.status not in HARMLESS]
    if bad:
        return StepStatus.FAILED, f"{len(bad)} of {len(rows)} cases; {bad[0].key}: {bad[0].reason}"
    return (StepStatus.OK, f"{good} cases") if good else (StepStatus.ABSENT, rows[0].reason)


def agree(bench: Bench, step: Step) -> Outcome:
    """The cold cases of a sweep step timed again by ``triton.testing.do_bench`` in a process of its own."""
    if why := bench.why_no_kernels():
        return Outcome(StepStatus.ABSENT, why)
    file = f"{step.name}.jsonl"
    done = bench.rows(file, ClockedRow)
    cases = [case for case in _chosen(run_folder(bench.folder, step.options["of"]), step) if case.mode == "cold"]
    left = [case.to_dict() for case in cases if case.key not in done]
    limit = min(step.options["timeout"], max(LEAST_SECONDS, bench.slice.left()))
    if left and not bench.slice.starts(LEAST_SECONDS):
        return Outcome(StepStatus.PART, f"{len(done)} of {len(cases)} cases", (file,), len(done))
    if left:
        asked = bench.log(step.name).with_suffix(".cases.json")
        asked.write_text(json.dumps(left), encoding="utf-8")
        words = (str(asked), str(bench.folder / file), str(step.options["milliseconds"]))
        # A line that a kill cut short would be glued to the next one.
        with Appender(bench.folder / file):
            pass
        ended = run_process(
            (sys.executable, "-m", "mglubench.campaign.do_bench", *words), limit, log=bench.log(step.name)
        )
        done = bench.rows(file, ClockedRow)
        if ended.code is None and limit < step.options["timeout"]:
            return Outcome(StepStatus.PART, f"{len(done)} of {len(cases)} cases", (file,), len(done))
        if any(case.key not in done for case in cases):
            return Outcome(StepStatus.FAILED, f"{len(done)} of {len(cases)} cases; {ended.said()}", (file,), len(done))
    bad = [row for row in done.values() if row["status"] != Status.OK]
    reason = f"{len(bad)} of {len(done)} failed; {bad[0]['key']}: {bad[0]['reason']}" if bad else f"{len(done)} cases"
    return Outcome(StepStatus.FAILED if bad else StepStatus.OK, reason, (file,), len(done))


def _chosen(folder: Path, step: Step) -> list[Case]:
    """The measured cases of a run that a step's options name; no list names all."""
    modes, names = step.options.get("mode", []), step.options["variants"]
    return [
        case
        for case in stored_cases(folder)
        if (not modes or case.mode in modes) and (not names or case.variant in names)
    ]
