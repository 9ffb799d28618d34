"""Many command lines tried in one process, each watched: what all fuzzers share.

A trial is known by its seed and number, so that one that went wrong can be run again alone (``--only NUMBER``).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mglubench.hardware.environment import git_record

ROOT = Path(__file__).resolve().parents[2]

# A command line that takes longer than this hangs; a fork that is silent for longer cannot even be interrupted.
LINE_SECONDS, SILENT_SECONDS = 60.0, 120.0
BATCH, BROKEN = 200, 70
TOLD_SECONDS = 30.0
EXIT_CODES = {0, 1, 2, 3, 4, 130, 143}
TRACEBACK, HANG, WRITTEN, LINES, CODE = (
    "tracebacks",
    "hangs",
    "files after exit 2",
    "errors of many lines",
    "exit codes",
)
LOST, DOUBLED, PROCESSES, FOLDERS = "rows lost", "rows doubled", "processes left", "temporary folders left"
PROMISED = (TRACEBACK, HANG, WRITTEN, LINES, CODE, LOST, DOUBLED, PROCESSES, FOLDERS)
# What makes no difference to anybody: the file that a lock is taken on.
LOCK = ".lock"


class Journal:
    """A file of JSON lines, a batch of trials each, that a long run is continued from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        data = path.read_bytes() if path.exists() else b""
        if whole := data[: data.rfind(b"\n") + 1]:
            # A line that was cut off is tried again.
            path.write_bytes(whole)
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        self._sources = git_record(ROOT) or {}

    def row_of(self, first: int, seed: int) -> dict[str, Any] | None:
        """The batch that begins with this trial, if it was tried."""
        return next((row for row in self.rows if (row["seed"], row["first"]) == (seed, first)), None)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a batch, and of which sources it is."""
        commit = str(self._sources.get("commit", "?"))[:10] + "+" * bool(self._sources.get("dirty"))
        self.rows.append({"commit": commit, **row})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(self.rows[-1]) + "\n")


class HangError(BaseException):
    """A command line's time is up."""


@dataclass(frozen=True)
class Called:
    """What a command line left behind."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str
    hung: bool = False


@dataclass
class Tally:
    """What went wrong, by kind, with the trials in which it did."""

    trials: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, number: int, found: list[tuple[str, str]], codes: list[str]) -> None:
        """Count one trial."""
        self.trials += 1
        self.codes.update(codes)
        for kind, words in found:
            self.counts[kind] += 1
            self.examples.append(f"trial {number}: {kind}: {words}")
            sys.stderr.write(f"{self.examples[-1]}\n")

    def taken(self, row: dict[str, Any]) -> None:
        """Count what a journal's row holds of trials that were tried before."""
        self.trials += row["stop"] - row["first"]
        self.counts.update(row["found"])
        self.codes.update(row["codes"])
        self.examples += row["examples"]
        self.seconds += row["seconds"]

    def as_row(self, first: int, stop: int, seed: int) -> dict[str, Any]:
        """What trials ``first`` to ``stop`` came to, for a journal."""
        found, codes = dict(self.counts), dict(sorted(self.codes.items()))
        head = {"seed": seed, "first": first, "stop": stop, "seconds": round(self.seconds, 1)}
        return {**head, "codes": codes, "found": found, "examples": self.examples}

    def words(self) -> str:
        """``10000 trials in 300 s: 0 tracebacks, ...``."""
        kinds = ", ".join(f"{self.counts[kind]} {kind}" for kind in PROMISED)
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(self.codes.items()))
        return f"{self.trials} trials in {self.seconds:.0f} s: {kinds} (exit codes: {codes})"


def call(words: list[str], seconds: float = LINE_SECONDS) -> Called:
    """One command line in this process, with streams of its own and a limit of time."""
    from mglubench.cli import main

    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True) for errors in _ERRORS]
    kept = sys.argv, sys.stdout, sys.stderr, warnings.showwarning, warnings.filters[:]
    sys.argv, sys.stdout, sys.stderr = ["mglubench", *words], *streams
    code, hung, said = None, False, ""
    # Ticks are counted: a machine that sleeps, or stops this process, for a while costs one and is no hang.
    ticks = iter(range(int(seconds)))
    before = signal.signal(signal.SIGALRM, lambda number, frame: _give_up(next(ticks, None)))
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else None
    except HangError:
        hung, said = True, traceback.format_exc()[-1500:]
    except BaseException:
        said = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.argv, sys.stdout, sys.stderr, warnings.showwarning, warnings.filters[:] = kept
    out, err = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in streams)
    return Called(tuple(words), code, out, err + said, hung)


# Of standard output and standard errors, as Python opens them.
_ERRORS = ("strict", "backslashreplace")


def _give_up(tick: int | None) -> None:
    # If something swallows it, it comes again with the next tick.
    if tick is None:
        raise HangError


def judged(
    called: Called, before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]
) -> list[tuple[str, str]]:
    """What is wrong with a command line, by what it said and what it left in its folder."""
    words = f"{' '.join(map(ascii, called.words))}"
    found = []
    if called.hung:
        found.append((HANG, f"{words}: {called.err[-600:]}"))
    elif "Traceback (most recent" in called.err or "Traceback (most recent" in called.out:
        found.append((TRACEBACK, f"{words}: {called.err[-900:]}"))
    elif called.code not in EXIT_CODES:
        found.append((CODE, f"{words}: {called.code}"))
    if called.code == 2:
        lines = called.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        if len(errors) != 1 or any(not line.startswith(("error: ", "warning: ")) for line in lines):
            found.append((LINES, f"{words}: {called.err[:600]}"))
        if changed := differing(before, after):
            found.append((WRITTEN, f"{words}: {', '.join(changed)[:300]}; {called.err[:300]}"))
    return found


def differing(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> list[str]:
    """Names that differ between two looks."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def looked_at(folder: Path) -> dict[str, tuple[int, ...]]:
    """Everything below a folder: kind, size and time of change (of folders the kind alone)."""
    found: dict[str, tuple[int, ...]] = {}
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                state = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    found[entry.path] = (state.st_mode,)
                    waiting.append(entry.path)
                elif entry.name != LOCK:
                    found[entry.path] = (state.st_mode, state.st_size, state.st_mtime_ns)
    return found


def children() -> list[int]:
    """Processes that this one has started and that are still there."""
    return [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]


def temporary(folder: Path) -> list[str]:
    """Names of mglubench's own in a folder for temporary files."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("mglubench-"))


def with_everything_imported() -> None:
    """Import once, here, what every fork would import anew, and make the parser of command lines once."""
    import matplotlib.figure
    import pandas
    import torch
    import typer.main

    import mglubench.cli.app
    import mglubench.variants.registry as registry

    if not hasattr(typer.main.get_command, "cache_info"):
        typer.main.get_command = functools.cache(typer.main.get_command)
    registry.variants()
    del matplotlib, pandas, torch, typer, mglubench


def without_work() -> None:
    """Let nothing in this process start a worker or a compiler: real executors are fake ones, builds are done at once.

    What is fuzzed is how words and files are read, not what is measured.
    """
    import mglubench.campaign.steps_by_process as steps
    import mglubench.executors.child as child
    import mglubench.executors.local as local
    import mglubench.hardware.environment as environment
    import mglubench.kernels.cuda_build as cuda_build
    import mglubench.kernels.inspect as inspect
    from mglubench.campaign.command import Answer
    from mglubench.executors.fake import FakeSession
    from mglubench.system.process import Ended

    child.ChildSession = lambda *words, **options: FakeSession()
    local.LocalSession = FakeSession
    cuda_build.build_all = lambda targets, jobs: [(target, None) for target in targets]
    inspect.examine = lambda variant, subject: []
    environment.git_record = lambda folder: None
    steps.ask = lambda *words: Answer(Ended(2, "", "error: not asked"), {})


# A trial: told its number and its own generator, returns what went wrong and the exit codes that it met.
Trial = Callable[[int, random.Random], tuple[list[tuple[str, str]], list[str]]]
Prepared = Callable[[], contextlib.AbstractContextManager[Trial]]


def in_forks(
    trials: range,
    seed: int,
    prepared: Prepared,
    silent: float = SILENT_SECONDS,
    batch: int = BATCH,
    journal: Journal | None = None,
) -> Tally:
    """Run trials in forks of this process, a batch each; one that dies or is silent costs one trial.

    What a journal holds already is counted and not tried again.
    """
    tally, first, progress = Tally(), trials.start, time.monotonic()
    while first < trials.stop:
        row = journal.row_of(first, seed) if journal else None
        if row is None:
            mine, start = Tally(), time.monotonic()
            stop = _batch(range(first, min(first + batch, trials.stop)), seed, prepared, mine, silent)
            mine.seconds = time.monotonic() - start
            row = mine.as_row(first, stop, seed)
            if journal:
                journal.add(row)
        tally.taken(row)
        first = row["stop"]
        # Whoever ends a long run early has the figures so far.
        if time.monotonic() - progress > TOLD_SECONDS:
            progress = time.monotonic()
            sys.stderr.write(f"{tally.words()}\n")
    return tally


def _batch(trials: range, seed: int, prepared: Prepared, tally: Tally, silent: float) -> int:
    """Run some trials in one fork; the number of the next."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as out, prepared() as trial:
                for number in trials:
                    found, codes = trial(number, random.Random(f"{seed}/{number}"))
                    out.write(json.dumps([number, found, codes]) + "\n")
                    out.flush()
        except BaseException:
            traceback.print_exc()
            os._exit(BROKEN)
        os._exit(0)
    os.close(writing)
    done = trials.start
    for line in _lines(reading, pid, silent):
        number, found, codes = json.loads(line)
        tally.add(number, [(kind, words) for kind, words in found], codes)
        done = number + 1
    _, status = os.waitpid(pid, 0)
    if done == trials.start and os.waitstatus_to_exitcode(status) == BROKEN:
        raise RuntimeError("no trial could be made; what is wrong stands above")
    if done < trials.stop:
        tally.add(done, [(CODE, f"the process ended with {os.waitstatus_to_exitcode(status)}")], [])
        done += 1
    return done


def _lines(reading: int, pid: int, silent: float) -> Iterator[str]:
    """Lines from a fork, which is killed if it is silent for too long."""
    import select

    rest = b""
    while True:
        # In short waits, as a command line's time.
        if not any(select.select([reading], [], [], 1.0)[0] for _ in range(int(silent))):
            os.kill(pid, signal.SIGKILL)
        chunk = os.read(reading, 1 << 16)
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in whole)
    os.close(reading)


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A folder of its own to work in, with notebooks and temporary files of its own, in this process."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        base = Path(name).resolve()
        (base / "tmp").mkdir()
        (base / "work").mkdir()
        kept = dict(os.environ), Path.cwd(), tempfile.tempdir
        os.environ.update({
            "TMPDIR": str(base / "tmp"),
            "HOME": str(base / "work"),
            "MGLUBENCH_CEILINGS": str(base / "work" / "ceilings.json"),
            "MGLUBENCH_REPEATS": str(base / "work" / "repeats.json"),
            "MGLUBENCH_TUNING": str(base / "work" / "tuning.json"),
        })  # fmt: skip
        tempfile.tempdir = str(base / "tmp")
        os.chdir(base / "work")
        try:
            yield base
        finally:
            os.chdir(kept[1])
            tempfile.tempdir = kept[2]
            os.environ.clear()
            os.environ.update(kept[0])


def report(name: str, tally: Tally) -> bool:
    """Print what a fuzzer found; whether nothing went wrong."""
    for example in tally.examples[:40]:
        print(example)
    print(f"{name}: {tally.words()}")
    return not tally.examples


def arguments(description: str, trials: int) -> tuple[range, int, Journal | None]:
    """The trials, the seed and the journal that a program was called with."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("trials", nargs="?", type=int, default=trials)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this trial alone")
    parser.add_argument("--journal", type=Path, help="keep what was tried in this file, and do not try that again")
    given = parser.parse_args()
    journal = Journal(given.journal) if given.journal else None
    if given.only is not None:
        return range(given.only, given.only + 1), given.seed, journal
    return range(given.trials), given.seed, journal
