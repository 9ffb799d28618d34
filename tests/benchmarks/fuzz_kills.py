"""Kills of sweeps at random moments: ``python -m tests.benchmarks.fuzz_kills [TRIALS] [--seed N] [--only N]``.

A trial is one sweep that is killed a few times, continued after each, and left to end. Most are fake sweeps in forks of
a process that has everything imported, some start as a user's do, and some measure for real, with a worker process.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mglubench.runner.run import LEFTOVERS
from tests.benchmarks.trials import (
    CODE,
    DOUBLED,
    FOLDERS,
    HANG,
    LINES,
    LOST,
    PROCESSES,
    TRACEBACK,
    Journal,
    Tally,
    Trial,
    arguments,
    in_forks,
    report,
    room,
    temporary,
    with_everything_imported,
)

# Kills in all; a trial has KILLS of them.
TRIALS = 1_000
KILLS = 4
# Sweeps of a fork, which a journal keeps together.
BATCH = 10
# One trial in so many starts its programs anew, and one in so many measures for real, every second in two processes.
ANEW_ONE_IN, REAL_ONE_IN = 25, 10
SHORT = [
    "--max-seconds",
    "0.01",
    "--min-samples",
    "3",
    "--max-samples",
    "5",
    "--variants",
    "lu,swiglu,mglu-numba-cpu",
    "--rounds",
    "2",
    "--no-ceiling",
]
SWEEP = ["sweep", "--nm", "1,2", "--mode", "cold,hot", "--out", "run"]
# Many small sets: rows are written when a set ends.
SETS = ["--shape", "16x24,8x8,24x16", "--variants", "lu,swiglu,mglu-naive,mglu-numba-cpu"]
SIGNALS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
# A process that was told to end is gone within this, also on a machine that is busy.
GONE_SECONDS, RUN_SECONDS = 30.0, 240.0
Found = list[tuple[str, str]]


@dataclass
class Ran:
    """What became of one process."""

    code: int
    err: str
    seconds: float
    left: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Way:
    """A way to run a sweep. ``last``: how many seconds the last whole run of this way took, at first a guess."""

    name: str
    words: list[str]
    start: Callable[[list[str], Path], int]
    last: list[float]


def main() -> int:
    """Print what was found; 1 if anything was."""
    return 0 if report("kills of sweeps", fuzz(*arguments(__doc__ or "", TRIALS))) else 1


def fuzz(kills: range, seed: int, journal: Journal | None = None) -> Tally:
    """Kill so many times, which is a quarter as many sweeps; counted are kills."""
    with_everything_imported()
    sweeps = range(kills.start // KILLS, -(-kills.stop // KILLS))
    tally = in_forks(sweeps, seed, prepared, KILLS * RUN_SECONDS, BATCH, journal)
    tally.trials *= KILLS
    return tally


@contextlib.contextmanager
def prepared() -> Iterator[Trial]:
    """A trial in a room of its own."""
    with room() as base:

        def trial(number: int, generator: random.Random) -> tuple[Found, list[str]]:
            way = ANEW if number % ANEW_ONE_IN == 7 else FAKE
            if number % REAL_ONE_IN == REAL_ONE_IN - 1:
                way = REAL if number // REAL_ONE_IN % 2 else REAL_SHARED
            found, codes = one_sweep(base, way, generator)
            return [(kind, f"{way.name}: {words}") for kind, words in found], codes

        yield trial


def one_sweep(base: Path, way: Way, generator: random.Random, kills: int = KILLS) -> tuple[Found, list[str]]:
    """Kill a sweep so often, then let it end; what is wrong, and the exit codes."""
    work = base / "work"
    found: Found = []
    codes: list[str] = []
    for _ in range(kills):
        number = generator.choice([*SIGNALS])
        before = whole_lines(work / "run" / "rows.jsonl")
        ran = run(base, way, generator.uniform(0.0, 1.1) * way.last[0], number)
        codes.append(f"{way.name} {ran.code}")
        # Before the program has begun, a signal ends the process as it ends any.
        found += judged(ran, {0, SIGNALS[number], -number}, number)
        found += kept(before, work)
        if ran.code == 0:
            if not before:
                way.last[0] = ran.seconds
            clear(work)
    before = whole_lines(work / "run" / "rows.jsonl")
    ran = run(base, way)
    if not before:
        way.last[0] = ran.seconds
    found += judged(ran, {0}, None) + kept(before, work) + complete(work)
    found += [(FOLDERS, name) for name in temporary(base / "tmp")]
    clear(work)
    return found, [*codes, f"{way.name} {ran.code}"]


def run(base: Path, way: Way, seconds: float | None = None, number: signal.Signals | None = None) -> Ran:
    """Run the sweep, or continue it if it has begun, and send it a signal after so many seconds."""
    errors = base / "errors"
    words = [*way.words, "--resume"] if (base / "work" / "run" / "run.json").exists() else way.words
    start = time.monotonic()
    pid = way.start(words, errors)
    code = ended(pid, RUN_SECONDS if seconds is None else seconds)
    if code is None and number is not None:
        os.kill(pid, number)
        code = ended(pid, GONE_SECONDS)
    took = time.monotonic() - start
    if code is None:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return Ran(-999, errors.read_text(), took)
    return Ran(code, errors.read_text(), took, left_over(base))


def forked(words: list[str], errors: Path) -> int:
    """Run the command line in a fork of this process, which is a session of its own."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
        os.dup2(sink, 1)
        sys.argv = ["mglubench", *words]
        from mglubench.cli import main

        try:
            main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 70
        sys.stdout.flush()
    except KeyboardInterrupt:
        # Just before the program, or just after it.
        code = 130
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def executed(words: list[str], errors: Path) -> int:
    """Run the command line as a user does."""
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from mglubench.cli import main; main()"
    with errors.open("wb") as sink:
        return subprocess.Popen(
            [sys.executable, "-c", script, *words], stdout=subprocess.DEVNULL, stderr=sink, start_new_session=True
        ).pid


def ended(pid: int, seconds: float) -> int | None:
    """The exit code of a child within so many seconds (a signal's is negative), else ``None``."""
    now = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if seconds <= 0:
            return None
        time.sleep(min(0.002, seconds))
        # A machine that slept meanwhile took no time of the child's.
        now, before = time.monotonic(), now
        seconds -= min(now - before, 1.0)


def left_over(base: Path) -> list[int]:
    """Processes that work in the room and are still there a moment after their parent is gone."""
    for _ in range(int(GONE_SECONDS / 0.02)):
        if not (pids := _in(base / "work")):
            break
        time.sleep(0.02)
    return pids


def _in(folder: Path) -> list[int]:
    """Processes, other than this one, whose working directory is a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
    return found


def judged(ran: Ran, codes: set[int], number: signal.Signals | None) -> Found:
    """What is wrong with how a process ended."""
    name = number.name if number else "no signal"
    found: Found = [(PROCESSES, f"after {name}: {pid}") for pid in ran.left]
    if ran.code == -999:
        found.append((HANG, f"after {name}: {ran.err[-300:]}"))
    elif "Traceback (most recent" in ran.err:
        found.append((TRACEBACK, f"after {name}: {ran.err[-900:]}"))
    elif ran.code not in codes:
        found.append((CODE, f"after {name}: {ran.code}, {ran.err[-300:]}"))
    if sum(line.startswith("error: ") for line in ran.err.splitlines()) > 1:
        found.append((LINES, f"after {name}: {ran.err[-300:]}"))
    return found


def whole_lines(path: Path) -> list[bytes]:
    """The finished rows of a run as they are on disk."""
    return (
        [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []
    )


def kept(before: list[bytes], work: Path) -> Found:
    """Whether rows that were finished are as they were, and nothing was measured twice."""
    now = whole_lines(work / "run" / "rows.jsonl")
    found: Found = [] if now[: len(before)] == before else [(LOST, f"{len(before)} rows before, {len(now)} now")]
    try:
        # Reads of the memory are in every set that they serve; what was left of a set keeps its number in the low bits.
        counts = Counter((row["key"], row["set"] % LEFTOVERS) for row in map(json.loads, now))
    except ValueError as error:
        return [*found, (LOST, f"a row is no row any more: {error}")]
    return found + [(DOUBLED, f"{key} of set {number}") for (key, number), count in counts.items() if count > 1]


def complete(work: Path) -> Found:
    """Whether a run that has ended has every case, and nothing beside what a run has."""
    run = work / "run"
    if not (run / "run.json").exists():
        return [(LOST, "there is no run")]
    planned, rows = json.loads((run / "run.json").read_text())["cases"], whole_lines(run / "rows.jsonl")
    found: Found = [] if len(rows) == planned else [(LOST, f"{len(rows)} rows of {planned}")]
    strange = {entry.name for entry in run.iterdir()} - {"run.json", "rows.jsonl", "worker.log", ".lock"}
    strange |= {entry.name for entry in work.iterdir()} - {"run", ".cache"}
    return found + [(FOLDERS, f"left in the run: {name}") for name in sorted(strange)]


def clear(work: Path) -> None:
    """Empty the room."""
    import shutil

    shutil.rmtree(work / "run", ignore_errors=True)


FAKE = Way("fake", [*SWEEP, *SETS, "--executor", "fake"], forked, [0.5])
ANEW = Way("fake, started anew", [*SWEEP, *SETS, "--executor", "fake"], executed, [3.0])
REAL = Way("real", [*SWEEP, *SHORT, "--h", "16", "--d", "24", "--processes", "1"], forked, [6.0])
REAL_SHARED = Way("real, two processes", [*SWEEP, *SHORT, "--h", "16", "--d", "24", "--processes", "2"], forked, [16.0])


if __name__ == "__main__":
    sys.exit(main())
