"""Measure what the project promises, and say which promises hold. Run by ``make bench`` on a quiet machine.

Promises of speed are for two CPU cores; the tests assert no times.
Exit code 1 if a promise does not hold.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mglubench import load
from mglubench.results.metrics import derive
from mglubench.results.store import SCHEMA

MGLUBENCH = str(Path(sys.executable).with_name("mglubench"))
ROWS, MANY_ROWS = 100_000, 1_000_000
MIB = 1 << 20
STORE_RUNS = 5
# Two fake sweeps that differ in their batch sizes alone; both hold more than what an import takes for a moment.
FEW_TOKENS, MANY_TOKENS = (",".join(map(str, range(1, 1 + count))) for count in (48, 96))
OPERATOR_RUNS, OPERATOR_NMS = 5, (1, 8)
Check = Callable[[Path], list[tuple[bool, str]]]


def main() -> int:
    """Print one line per promise; 1 if any fails."""
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        checks = (main_job, operator, narrow_weights, help_time, big_store, huge_store, fake_sweep)
        results = [result for check in checks for result in kept(check, room)]
    for holds, words in results:
        print(f"{'holds' if holds else 'FAILS'}  {words}")
    return 0 if all(holds for holds, _ in results) else 1


def kept(check: Check, scratch: Path) -> list[tuple[bool, str]]:
    """The promises of a check; a command that does not succeed keeps none of them, and the other checks go on."""
    try:
        return check(scratch)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        words = " ".join(map(str, error.cmd[:2]))
        return [
            (False, f"{check.__name__}: {words} ... ended with exit code {error.returncode}: {(said or ['?'])[-1]}")
        ]


def main_job(scratch: Path) -> list[tuple[bool, str]]:
    """The main job itself: how long it takes, and the speed-ups that it shows."""
    seconds, frame = sweep(scratch / "main", "--dtype", "float32")
    ours = frame[frame["variant"] == "mglu-numba-cpu"].set_index("nm")
    naive = frame[frame["variant"] == "mglu-naive"].set_index("nm")
    torch_glu = frame[frame["variant"].isin(("swiglu", "swiglu-merged", "swiglu-compiled"))]["latency_us"].min()
    results = [promise("main job, seconds", seconds, below=75.0)]
    layers = frame[~frame["layer"].isin(("read", "product"))]
    results.append(promise("rounds of a case in it, at least", float(layers["rounds"].min()), above=5))
    for nm, floor in ((1, 1.7), (8, 1.0)):
        over_glu = torch_glu / ours.loc[nm, "latency_us"]
        results.append(promise(f"mglu-numba-cpu over the fastest torch SwiGLU, nm={nm}", over_glu, above=floor))
    for nm, floor in ((1, 30.0), (8, 200.0)):
        over_naive = naive.loc[nm, "latency_us"] / ours.loc[nm, "latency_us"]
        results.append(promise(f"mglu-numba-cpu over mglu-naive, nm={nm}", over_naive, above=floor))
    isolation = frame["overhead_isolation_s"].mean() * 1e3
    check = frame["overhead_check_s"].mean() * 1e3
    results.append((True, f"isolation costs {isolation:.0f} ms per case, both checks {check:.0f} ms (no promise)"))
    return results


def operator(scratch: Path) -> list[tuple[bool, str]]:
    """What the shipped function adds to its kernel: fresh processes, in which launches of both alternate."""
    command = (sys.executable, "-m", "tests.benchmarks.operator_cost", *map(str, OPERATOR_NMS))
    told = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(OPERATOR_RUNS)]
    return [operator_promise(nm, [float(ratios[str(nm)]) for ratios in told]) for nm in OPERATOR_NMS]


def operator_promise(nm: int, ratios: list[float]) -> tuple[bool, str]:
    """Whether the median of the processes' ratios is below what was promised."""
    holds, words = promise(
        f"flash_mglu over its kernel, median of {len(ratios)} processes, nm={nm}", float(np.median(ratios)), below=1.03
    )
    return holds, f"{words} ({min(ratios):.3f} to {max(ratios):.3f})"


def narrow_weights(scratch: Path) -> list[tuple[bool, str]]:
    """16-bit weights must beat fp32 weights."""
    dtypes = "float32,bfloat16,float16"
    _, frame = sweep(scratch / "narrow", "--dtype", dtypes, "--variants", "mglu-numba-cpu", "--max-seconds", "2")
    latency = frame[frame["layer"] == "mglu"].set_index(["dtype", "nm"])["latency_us"]
    return [
        promise(f"{dtype} over float32 weights, nm={nm}", latency["float32", nm] / latency[dtype, nm], above=1.0)
        for dtype in ("bfloat16", "float16")
        for nm in (1, 2, 4, 8)
    ]


def help_time(scratch: Path) -> list[tuple[bool, str]]:
    """The median of five cold starts."""
    times = sorted(timed(MGLUBENCH, "--help") for _ in range(5))
    return [promise("--help, seconds", times[2], below=0.2)]


def big_store(scratch: Path) -> list[tuple[bool, str]]:
    """A store of a hundred thousand rows of six or more rounds: load it, report it; the medians of fresh processes."""
    folder = scratch / "big"
    write_big_store(folder)
    loads = [loading(folder, ROWS)[0] for _ in range(STORE_RUNS)]
    reports = [timed(MGLUBENCH, "report", str(folder)) for _ in range(STORE_RUNS)]
    return [
        promise(f"load {ROWS} rows, seconds", float(np.median(loads)), below=2.0),
        promise("report them, seconds", float(np.median(reports)), below=2.5),
    ]


def huge_store(scratch: Path) -> list[tuple[bool, str]]:
    """A store of a million rows, a tenth and a hundredth of it: time grows as rows do."""
    found = {}
    for count in (MANY_ROWS // 100, MANY_ROWS // 10, MANY_ROWS):
        folder = scratch / f"of-{count}"
        write_big_store(folder, count)
        found[count] = loading(folder, count)
        shutil.rmtree(folder)
    (few, _), (seconds, peak) = found[MANY_ROWS // 10], found[MANY_ROWS]
    growth = (f"{count} rows: {took:.2f} s, {most / (1024 * MIB):.2f} GiB" for count, (took, most) in found.items())
    return [
        (True, f"loading takes, and holds at most: {'; '.join(growth)} (no promise)"),
        promise(f"load {MANY_ROWS} rows, seconds", seconds, below=20.0),
        promise("and memory at most, GiB", peak / (1024 * MIB), below=4.0),
        promise("and seconds over those of a tenth of them", seconds / few, below=13.0),
    ]


def loading(folder: Path, rows: int) -> tuple[float, int]:
    """Seconds that loading a run takes in a process of its own, imports left out, and the peak bytes of the process."""
    program = (
        "import sys, time, pandas, mglubench\n"
        "load = mglubench.load\n"
        "start = time.perf_counter()\n"
        "frame = load(sys.argv[1])\n"
        "seconds = time.perf_counter() - start\n"
        "assert len(frame) == int(sys.argv[2])\n"
        "open(sys.argv[3], 'w').write(str(seconds))\n"
    )
    told = folder.with_name(f"{folder.name}-seconds")
    _, peak = measured(sys.executable, "-c", program, str(folder), str(rows), str(told))
    return float(told.read_text()), peak


def fake_sweep(scratch: Path) -> list[tuple[bool, str]]:
    """How long a sweep of many cases takes that measures nothing, and how its memory grows with them."""
    words = ("sweep", "--executor", "fake", "--no-ceiling", "--shape", "64x96,96x64,32x32,8x8", "--nm", "1,2,4,8")
    found = []
    for number, tokens in enumerate((FEW_TOKENS, MANY_TOKENS)):
        out = scratch / f"fake-{number}"
        seconds, peak = measured(MGLUBENCH, *words, "--batch", tokens, "--mode", "cold,hot", "--out", str(out))
        assert set(load(out)["status"]) == {"ok"}
        found.append((json.loads((out / "run.json").read_text())["cases"], peak))
    (few, low), (many, high) = found
    return [
        promise(f"a fake sweep of {many} cases, seconds", seconds, below=26.0),
        promise(f"and KiB per case beyond {few}", (high - low) / 1024 / (many - few), below=5.0),
    ]


def sweep(out: Path, *options: str, nm: str = "1,2,4,8") -> tuple[float, object]:
    """One sweep of the main job's shape; seconds, and its derived frame."""
    seconds = timed(MGLUBENCH, "sweep", "--h", "2048", "--d", "8192", "--nm", nm, "--out", str(out), *options)
    return seconds, derive(load(out, samples=True))


def timed(*command: str) -> float:
    """Wall seconds of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def measured(*command: str) -> tuple[float, int]:
    """Wall seconds and peak resident bytes of a command that must succeed."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def promise(words: str, value: float, *, below: float | None = None, above: float | None = None) -> tuple[bool, str]:
    """Whether a bound holds, in words."""
    if below is not None:
        return value < below, f"{words}: {value:.2f}, promised below {below:g}"
    return value >= (above or 0.0), f"{words}: {value:.2f}, promised at least {above:g}"


def write_big_store(folder: Path, count: int = ROWS) -> None:
    """Rows as a sweep writes them, from a small fake sweep repeated over seeds."""
    seed_run = folder.with_name(f"seed-{count}")
    subprocess.run(
        [MGLUBENCH, "sweep", "--executor", "fake", "--no-ceiling", "--out", str(seed_run)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = [json.loads(line) for line in (seed_run / "rows.jsonl").read_text().splitlines()]
    header = json.loads((seed_run / "run.json").read_text())
    assert header["schema"] == SCHEMA
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({**header, "cases": count}))
    generator = random.Random(0)
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(count):
            row = rows[number % len(rows)]
            row["case"]["seed"] = number // len(rows)
            row["key"] = f"{row['key'].rpartition('/')[0]}/seed{row['case']['seed']}"
            row["samples"] = [round(value * generator.uniform(0.98, 1.02), 1) for value in row["samples"]]
            for turn in row["rounds"]:
                turn["place"] = generator.randrange(len(rows))
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    sys.exit(main())
