"""What does a fleet cost, and does it lose rows? ``python -m tests.benchmarks.fleet``; in ``make bench``.

- Simulation: 64 pretended workers whose sets of ten cases take 4 s of a clock that is not waited for, answers made by
  the fake executor; the driver's work (scheduler, decoding, rows, syncs) is real, and goes by on the same clock.
  Promised: no more than 5 % of the workers' time is spent waiting for the driver, at 100,000 cases. Processes and Ray
  are not part of it.
- Trials (200) of a fleet on Ray: see :mod:`tests.benchmarks.fleet_trials`. Where Ray is not installed they are left
  out, and that is said.
- Kills (40): a fleet of processes with fake sets is killed with SIGKILL at a random moment and resumed, until it is
  whole: no finished row is lost or doubled, and no process stays.

``fleet one CASES`` prints one simulation as JSON, ``fleet told FILE`` what many have come to. Exit code 1 if a promise
does not hold.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import msgspec
import psutil

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.fleet.driver import Fleet
from mglubench.fleet.fleet_worker import FleetWorker
from mglubench.fleet.messages import Answer, Event, HowToWork, Order, Told
from mglubench.fleet.roster import Roster
from mglubench.results.store import RunStore
from mglubench.runner.run import store_sets
from tests.conftest import COMMAND, make_case, make_header

WORKERS, IN_A_SET, SET_SECONDS = 64, 10, 4.0
SIZES = (1_000, 10_000, 100_000)
LOST = 0.05
FIGURES = ("rows_per_s", "grown_mb", "waited_share")
REPEATS = 5
# Of the trials' cluster, on a busy machine.
STARTS = 10
TRIALS, KILLS = 200, 40


class Simulated:
    """Workers on a clock of their own, which the driver's real time moves on; what it costs to pretend does not."""

    def __init__(self) -> None:
        self._worker = FleetWorker(HowToWork("cpu", "fake", pretended="simulated"))
        self._told = msgspec.convert(self._worker.introduce(), Told)
        self._template: Answer | None = None
        self._joining: list[Event] = []
        self._ends: list[tuple[float, str, Order]] = []
        self._free_since: dict[str, float] = {}
        self._count, self._now, self._left = 0, 0.0, time.perf_counter()
        self.waited, self.driver = 0.0, 0.0

    def clock(self) -> float:
        return self._now

    def seats(self) -> int:
        return WORKERS

    def start(self, seat: int) -> str:
        told = msgspec.structs.replace(self._told, uuid=f"simulated-{seat}")
        self._joining.append(Event(f"{seat}", told=told))
        return f"{seat}"

    def send(self, worker: str, order: Order) -> None:
        self._pass()
        self.waited += self._now - self._free_since.pop(worker, self._now)
        heapq.heappush(self._ends, (self._now + SET_SECONDS, worker, order))

    def events(self, seconds: float) -> list[Event]:
        self._pass()
        if self._joining:
            found, self._joining = self._joining, []
            return found
        end, worker, order = heapq.heappop(self._ends)
        self._now = max(self._now, end)
        self._free_since[worker] = end
        sent = self._answer(order)
        self._left = time.perf_counter()
        return [Event(worker, answer=msgspec.json.decode(sent, type=Answer))]

    def kill(self, worker: str) -> None:
        raise AssertionError(worker)

    def close(self) -> None:
        self._worker.close()

    def _pass(self) -> None:
        now = time.perf_counter()
        self.driver += now - self._left
        self._now += now - self._left
        self._left = now

    def _answer(self, order: Order) -> bytes:
        """What the fake executor made of the first set, with the cases of this one."""
        if self._template is None:
            self._template = msgspec.convert(self._worker.measure(msgspec.to_builtins(order)), Answer)
        pairs = zip(order.group.cases, self._template.found, strict=True)
        found = [msgspec.structs.replace(one, case=case, set=order.group.number) for case, one in pairs]
        return msgspec.json.encode(Answer(found))


def simulate(cases: int) -> dict[str, float]:
    """Rows per second of the driver, its memory, and the share of the workers' time that it costs."""
    groups = [
        ComparisonSet(n, tuple(make_case(h=64 + n, nm=nm) for nm in range(1, IN_A_SET + 1)))
        for n in range(cases // IN_A_SET)
    ]
    plan = SimpleNamespace(sets=groups, spec=SimpleNamespace(measure=MeasureSettings()))
    transport = Simulated()
    fleet = Fleet(transport, Roster(), clock=transport.clock)
    fleet.open()
    fleet.roster.settle()
    before = psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as folder, RunStore.create(Path(folder), make_header(cases=cases)) as store:
        assert store_sets(plan, store, fleet.measured) == cases  # type: ignore[arg-type]
        rows = sum(1 for _ in (Path(folder) / "rows.jsonl").open())
    assert rows == cases
    grown = psutil.Process().memory_info().rss - before
    whole = WORKERS * transport.clock()
    return {
        "cases": cases,
        "rows_per_s": cases / transport.driver,
        "grown_mb": grown / 1e6,
        "waited_share": transport.waited / whole,
    }


def killed(seed: int) -> tuple[bool, int]:
    """Whether a fleet that is killed and resumed comes to every row once; and how often it was killed."""
    chance, stayed = random.Random(seed), []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = (
            "sweep",
            "--executor",
            "fake",
            "--device",
            "cpu:all",
            "--h",
            "24..40",
            "--d",
            "16",
            "--nm",
            "1",
            "--json",
        )
        env = {**os.environ, "MGLUBENCH_FAKE_DEVICES": "2"}
        for kills in range(20):
            there = (out / "run.json").exists()
            more = ("--out", str(out), *(("--resume",) if there else ()))
            process = subprocess.Popen(
                [*COMMAND, *words, *more], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                process.wait(chance.uniform(1.0, 6.0) if kills < 2 else 120.0)
                break
            except subprocess.TimeoutExpired:
                started = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                process.wait()
                stayed += psutil.wait_procs(started, 5.0)[1]
        lines = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
        planned = json.loads((out / "run.json").read_text())["cases"]
        places = {(row["set"] % (1 << 20), row["key"]) for row in lines}
        return len(places) == len(lines) == planned and not stayed, kills


def judged(found: Iterable[Mapping[str, float]]) -> Iterator[tuple[bool, str]]:
    """Whether the promise holds in simulations of each size, and what they have come to."""
    by_size: dict[float, list[Mapping[str, float]]] = {}
    for one in found:
        by_size.setdefault(one["cases"], []).append(one)
    for cases, ones in by_size.items():
        rates, grown, waited = (sorted(one[name] for one in ones) for name in FIGURES)
        yield (
            waited[-1] <= LOST,
            f"{cases:,} cases on {WORKERS} workers, {len(ones)} times: {median(rates):,.0f} rows/s in the driver "
            f"({rates[0]:,.0f} to {rates[-1]:,.0f}), {median(grown):.1f} MB more memory ({grown[0]:.1f} to "
            f"{grown[-1]:.1f}), at most {waited[-1]:.2%} of the workers' time lost, promised {LOST:.0%}",
        )


def promises() -> Iterator[tuple[bool, str]]:
    """All of them, as they are tried."""
    command = [sys.executable, "-m", "tests.benchmarks.fleet", "one"]
    yield from judged(
        json.loads(subprocess.run([*command, str(cases)], capture_output=True, text=True, check=True).stdout)
        for cases in SIZES * REPEATS
    )
    outcomes = [killed(seed) for seed in range(KILLS)]
    whole, kills = sum(fine for fine, _ in outcomes), sum(count for _, count in outcomes)
    yield whole == KILLS, f"{whole} of {KILLS} runs whole after {kills} kills of the driver"
    if find_spec("ray") is None:
        yield True, "trials on Ray are left out: it is not installed"
        return
    from tests.benchmarks.fleet_trials import told

    with tempfile.TemporaryDirectory() as folder:
        journal, trials = str(Path(folder) / "trials.jsonl"), str(TRIALS)
        for _ in range(STARTS):
            command = [sys.executable, "-m", "tests.benchmarks.fleet_trials", journal, trials]
            if not subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
                break
        yield told(Path(journal), TRIALS)


def main() -> int:
    """Print every figure and whether its promise holds; or one simulation, or what stored ones have come to."""
    what, given = sys.argv[1:] or ("", "")
    if what == "one":
        print(json.dumps(simulate(int(given))))
        return 0
    stored = map(json.loads, Path(given).read_text().splitlines()) if what == "told" else ()
    good = True
    for holds, words in judged(stored) if what == "told" else promises():
        print(f"{'ok' if holds else 'MISSED'}: {words}", flush=True)
        good &= holds
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
