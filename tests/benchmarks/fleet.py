"""What does a fleet cost, and does it lose rows? ``python -m tests.benchmarks.fleet [TRIALS]``; in ``make bench``.

- Simulation: 64 pretended workers whose sets of ten cases take 4 s of a clock that is not waited for, answers made by
  the fake executor; the driver's work (scheduler, decoding, rows, syncs) is real, and goes by on the same clock.
  Promised: no more than 5 % of the workers' time is spent waiting for the driver, at 100,000 cases. Processes and Ray
  are not part of it.
- Trials (200): a fleet of processes with fake sets is killed with SIGKILL at a random moment and resumed, until it is
  whole: no finished row is lost or doubled, and no process stays.

Exit code 1 if a promise does not hold.
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
from pathlib import Path
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
TRIALS = 200


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


def main() -> int:
    """Print every figure and whether its promise holds."""
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(simulate(int(sys.argv[2]))))
        return 0
    trials = int(sys.argv[1]) if sys.argv[1:] else TRIALS
    good = True
    for cases in SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.fleet", "one", str(cases)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        holds = found["waited_share"] <= LOST
        good &= holds
        said = (
            f"{found['rows_per_s']:,.0f} rows/s in the driver, {found['grown_mb']:,.1f} MB more memory, "
            f"{found['waited_share']:.2%} of the workers' time lost"
        )
        print(f"{'ok' if holds else 'MISSED'}: {cases:,} cases on {WORKERS} workers: {said}", flush=True)
    outcomes = [killed(seed) for seed in range(trials)]
    whole, kills = sum(fine for fine, _ in outcomes), sum(count for _, count in outcomes)
    good &= whole == trials
    print(f"{'ok' if whole == trials else 'MISSED'}: {whole} of {trials} runs whole after {kills} kills of the driver")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
