"""Steps of a campaign that run ``mglubench`` commands in processes of their own: a fault there costs no other step."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from mglubench.campaign.command import Answer, ask
from mglubench.campaign.definition import Step
from mglubench.campaign.outcome import Outcome, StepStatus
from mglubench.campaign.step import LEAST_SECONDS, Appender, Bench
from mglubench.campaign.unit_rows import SanitizedRow, TunedRow, UnitRow
from mglubench.errors import UnavailableError
from mglubench.hardware.cuda_toolchain import capability, cuda_homes
from mglubench.status import Status
from mglubench.system.files import publish
from mglubench.system.plain_text import plain
from mglubench.system.programs import find_program
from mglubench.variants.cuda_kernels import KERNELS

SANITIZER = "compute-sanitizer"
SANITIZER_PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
# What the sanitizer exits with where it found something; no exit code of mglubench's own.
FOUND = 86
# Ports through which the sanitizer talks to what it started: its own defaults, per process.
FIRST_PORT, PORTS = 49152, 10
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:errors?|hazards?).*")


def doctor(bench: Bench, step: Step) -> Outcome:
    """Record what the machine has and lacks."""
    from mglubench.hardware.doctor import can_run, examine

    findings = examine()
    able = can_run(findings)
    path = bench.folder / f"{step.name}.json"
    content = {"can_run": able, "findings": [finding.to_dict() for finding in findings]}
    publish(path, json.dumps(content, indent=1) + "\n")
    broken = ", ".join(finding.what for finding in findings if finding.needed and finding.status != Status.OK)
    return Outcome(
        StepStatus.OK if able else StepStatus.FAILED, f"broken: {broken}" if broken else "", (bench.relative(path),)
    )


def build(bench: Bench, step: Step) -> Outcome:
    """Compile the CUDA kernels for the card, one compiler per core; what is in the cache is not compiled again."""
    if why := bench.why_no_kernels():
        return Outcome(StepStatus.ABSENT, why)
    arch = bench.architecture
    options = step.options
    names = options["variants"] or [variant.name for variant in KERNELS if capability(arch) >= variant.kernel.oldest]
    if not bench.slice.starts(LEAST_SECONDS):
        return Outcome(StepStatus.PART, "no time left")
    limit = min(options["timeout"], max(LEAST_SECONDS, bench.slice.left()))
    words = ("--arch", arch, "--variants", ",".join(names), "--nm", ",".join(options["nm"]))
    log = bench.log(step.name)
    answer = ask(("build", *words, "--dtype", ",".join(options["dtype"])), limit, log)
    if answer.timed_out and limit < options["timeout"]:
        return Outcome(StepStatus.PART, "the slice is over", (bench.relative(log),))
    if answer.timed_out:
        return Outcome(StepStatus.FAILED, f"took longer than {limit:g} s", (bench.relative(log),))
    return Outcome(*_build_verdict(answer), (bench.relative(log),))


def _build_verdict(answer: Answer) -> tuple[StepStatus, str]:
    try:
        failures, summary = answer.result["failures"], str(answer.result["summary"])
    except (LookupError, TypeError):
        return StepStatus.FAILED, answer.ended.said()
    if failures:
        return StepStatus.FAILED, plain(str(failures[0]), 300)
    return (StepStatus.FAILED, answer.ended.said()) if answer.ended.code else (StepStatus.OK, plain(summary))


def tune(bench: Bench, step: Step) -> Outcome:
    """Search launch choices, one process per cell; the table is what MGLUBENCH_TUNING names."""
    if why := bench.why_no_kernels():
        return Outcome(StepStatus.ABSENT, why)
    options, file = step.options, f"{step.name}.jsonl"
    jobs = _tune_jobs(options, bench.campaign.device)
    done = bench.rows(file, TunedRow)
    with Appender(bench.folder / file) as rows:
        for key, words in jobs.items():
            if key in done:
                continue
            spent = max((float(row["seconds"]) for row in done.values()), default=LEAST_SECONDS)
            if not bench.slice.starts(spent):
                return Outcome(StepStatus.PART, f"{len(done)} of {len(jobs)} cells", (file,), len(done))
            bench.say(f"  tune {key}")
            limit = min(options["timeout"], max(LEAST_SECONDS, bench.slice.left()))
            start = time.perf_counter()
            answer = ask(("tune", *words), limit, bench.log(step.name))
            if answer.timed_out and limit < options["timeout"]:
                return Outcome(StepStatus.PART, f"{len(done)} of {len(jobs)} cells", (file,), len(done))
            done[key] = _tune_row(key, answer, time.perf_counter() - start)
            rows.append(done[key])
    return _verdict(done, (file,))


def _tune_jobs(options: Mapping[str, Any], device: str) -> dict[str, tuple[str, ...]]:
    common = ("--device", device, "--seconds", str(options["seconds"]))
    axes = ("variants", "shape", "nm", "batch", "dtype", "mode")
    cells: list[tuple[str, ...]] = [()]
    for axis in axes:
        cells = [(*cell, value) for cell in cells for value in options[axis]]
    words = {"/".join(cell): [w for pair in zip(axes, cell, strict=True) for w in pair] for cell in cells}
    return {
        key: (*(f"--{word}" if k % 2 == 0 else word for k, word in enumerate(pairs)), *common)
        for key, pairs in words.items()
    }


def _tune_row(key: str, answer: Answer, seconds: float) -> TunedRow:
    row: TunedRow = {"key": key, "status": Status.OK, "reason": "", "seconds": round(seconds, 3)}
    said = answer.ended.said()
    if answer.ended.code != 0:
        return {**row, "status": "timeout" if answer.timed_out else "error", "reason": said}
    try:
        found = answer.result[0]
        figures = {name: found[name] for name in ("choice", "median_us", "rule_us", "tried", "failed")}
        return msgspec.convert({**row, **figures}, TunedRow)
    except (LookupError, TypeError, ValueError):
        return {**row, "status": "error", "reason": f"`mglubench tune` left no result: {said}"}


def find_sanitizer() -> str:
    """Path of compute-sanitizer: MGLUBENCH_SANITIZER, PATH, CUDA_HOME, the usual places.

    Raises:
        UnavailableError: it is nowhere.
    """
    if given := os.environ.get("MGLUBENCH_SANITIZER"):
        return given
    folders = [*(str(Path(home) / "bin") for home in cuda_homes()), *SANITIZER_PLACES]
    found = find_program(SANITIZER) or find_program(SANITIZER, folders)
    if found is None:
        raise UnavailableError(
            f"{SANITIZER} was not found: it comes with the CUDA toolkit; MGLUBENCH_SANITIZER names it"
        )
    return str(found)


def sanitize(bench: Bench, step: Step) -> Outcome:
    """``mglubench verify`` of every CUDA variant under every tool of compute-sanitizer, several at once; no times."""
    if why := bench.why_no_kernels():
        return Outcome(StepStatus.ABSENT, why)
    program, file = find_sanitizer(), f"{step.name}.jsonl"
    arch = bench.architecture
    kernels = {variant.name: variant.kernel.source for variant in KERNELS if capability(arch) >= variant.kernel.oldest}
    names = step.options["variants"] or list(kernels)
    done = bench.rows(file, SanitizedRow)
    wanted = [(tool, name) for tool in step.options["tools"] for name in names]
    left = [(tool, name) for tool, name in wanted if f"{tool}/{name}" not in done]
    at_once = int(step.options["jobs"])
    with Appender(bench.folder / file) as rows, ThreadPoolExecutor(at_once) as pool:
        while left:
            if not bench.slice.starts(max((float(row["seconds"]) for row in done.values()), default=60.0)):
                return Outcome(StepStatus.PART, f"{len(done)} of {len(wanted)} checks", (file,), len(done))
            now, left = left[:at_once], left[at_once:]
            bench.say(f"  sanitize {', '.join('/'.join(pair) for pair in now)}")
            jobs = [
                pool.submit(_sanitize, bench, step, program, pair, kernels.get(pair[1], ""), FIRST_PORT + PORTS * slot)
                for slot, pair in enumerate(now)
            ]
            for job in jobs:
                row = job.result()
                done[row["key"]] = row
                rows.append(row)
    return _verdict(done, (file,))


def _sanitize(bench: Bench, step: Step, program: str, pair: tuple[str, str], kernel: str, port: int) -> SanitizedRow:
    """One tool over one variant. Initcheck must see every kernel, or what torch writes would count as never written."""
    tool, name = pair
    only = ("--kernel-name", f"kernel_substring={kernel}") if kernel and tool != "initcheck" else ()
    options = step.options
    words = ("--variants", name, "--device", bench.campaign.device, "--dtype", ",".join(options["dtype"]))
    inner = ("verify", *words, "--nm", ",".join(options["nm"]), "--executor", "local")
    # Several run at once: each gets ports of its own, and time to start, which is limited below.
    ports = ("--port", str(port), "--max-connections", str(PORTS), "--launch-timeout", "0")
    outer = (program, "--tool", tool, "--error-exitcode", str(FOUND), "--target-processes", "all", *ports, *only)
    log = bench.log(f"{step.name}-{tool}-{name}")
    start = time.perf_counter()
    # Blocks that torch has cached would hide accesses behind their end.
    env = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    answer = ask(inner, options["timeout"], log, around=outer, env=env)
    status, reason = sanitizer_verdict(answer)
    seconds = round(time.perf_counter() - start, 3)
    return {"key": f"{tool}/{name}", "status": status, "reason": reason, "seconds": seconds, "log": bench.relative(log)}


def sanitizer_verdict(answer: Answer) -> tuple[str, str]:
    """Status and reason of one check: ``ok`` is a summary of no findings after cases that were run and right."""
    ended = answer.ended
    if answer.timed_out:
        return "timeout", "took too long under the sanitizer and was killed"
    summaries = list(_SUMMARY.finditer(ended.out + ended.err))
    found = sum(int(match[1]) for match in summaries)
    if found or ended.code == FOUND:
        return "found", summaries[-1][0] if summaries else "the sanitizer found something; see the log"
    if ended.code != 0:
        return "error", ended.said()
    if not summaries:
        return "error", f"the sanitizer gave no summary: {ended.said()}"
    return (
        (Status.OK, "")
        if _any_right(answer.result)
        else ("error", "no case of the variant was run under the sanitizer")
    )


def _any_right(result: Any) -> bool:
    """Whether ``mglubench verify`` ran a variant and found it right."""
    try:
        return any(row["result"] == "right" for row in result["variants"])
    except (LookupError, TypeError):
        return False


def _verdict(done: Mapping[str, UnitRow], artefacts: tuple[str, ...]) -> Outcome:
    """``ok`` if every row is, else ``failed`` with the first reason."""
    bad = [row for row in done.values() if row["status"] != Status.OK]
    reason = f"{len(bad)} of {len(done)} failed; {bad[0]['key']}: {bad[0]['reason']}" if bad else ""
    return Outcome(StepStatus.FAILED if bad else StepStatus.OK, reason, artefacts, len(done))
