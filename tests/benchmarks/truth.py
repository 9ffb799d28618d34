"""Does the tool see what is there? ``python -m tests.benchmarks.truth``, on a quiet machine; part of ``make bench``.

- A layer that is another one plus a known delay (+3 %, +10 %) must come out as such: the interval of the ratio holds
  the true factor, and the interval of +10 % leaves 1 out.
- One core taken from a pool (by a process bound to it) must be noticed, and blocks without it must be kept. A thread of
  a pool that sleeps must be seen in the cores in use, and must not be called starved: nobody took its core.
- What the timer itself costs and resolves is printed.

Rounds are taken as a sweep would take them: every case once per round, in an order that changes, by the timer itself.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mglubench.cases.case import Case
from mglubench.estimates import Series, ratio
from mglubench.hardware.cpu import last_level_cache
from mglubench.hardware.cpu_readings import CpuMeter, CpuReading, why_starved
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.measure.cpu_timer import CpuTimer
from mglubench.measure.rotation import copies_wanted
from mglubench.measure.timers import Launch
from mglubench.variants.registry import get_variant

ROUNDS, BLOCK_SECONDS, MOST = 8, 0.12, 1000
DELAYS = (0.03, 0.10)
CASE = Case("mglu-numba-cpu", 2048, 8192, 1, 1, "float32", "silu", "bernoulli:0.5", "cold", "cpu", 0)


def main() -> int:
    """Print what was found; 1 if something was not seen."""
    launches = layer(CASE)
    results = [*known_delays(launches), *stolen_core(launches), sleeping_thread()]
    for holds, words in results:
        print(f"{'holds' if holds else 'FAILS'}  {words}")
    for words in timer_costs():
        print(f"       {words}")
    return 0 if all(holds for holds, _ in results) else 1


def layer(case: Case) -> list[Launch]:
    """A launch for every copy that makes the layer cold."""
    variant, inputs = get_variant(case.variant), InputSet(case)
    first = Problem.make(case, inputs)
    count = copies_wanted(variant.resident_bytes(case), last_level_cache())
    return [variant.prepare(first if k == 0 else first.replica(k)) for k in range(count)]


def delayed(launch: Launch, nanoseconds: float) -> Launch:
    """The launch and then a wait that keeps the core busy."""

    def run() -> None:
        launch()
        end = time.perf_counter_ns() + nanoseconds
        while time.perf_counter_ns() < end:
            pass

    return run


def in_rounds(timers: Mapping[str, CpuTimer], rounds: int) -> tuple[dict[str, Series], dict[str, list[CpuReading]]]:
    """Every case once per round, in a random order; starved blocks are left out, as a session leaves them out."""
    rng = np.random.default_rng(0)
    taken: dict[str, tuple[list[float], list[int], list[int]]] = {name: ([], [], []) for name in timers}
    readings: dict[str, list[CpuReading]] = {name: [] for name in timers}
    for number in range(rounds):
        for name in rng.permutation(list(timers)):
            block = timers[name].sample(BLOCK_SECONDS, MOST)
            assert block.cpu is not None
            readings[name].append(block.cpu)
            if why_starved(block.cpu) is None:
                samples, numbers, copies = taken[name]
                samples += block.samples
                numbers += [number] * len(block.samples)
                copies += block.copies
    return {name: Series.of(*values) for name, values in taken.items()}, readings


def known_delays(launches: list[Launch]) -> list[tuple[bool, str]]:
    """Each delay against the layer without, with the layer a second time as the control."""
    probe = CpuTimer(launches, "cold").sample(1.0, MOST).samples
    middle = statistics.median(probe)
    timers = {"plain": CpuTimer(launches, "cold"), "again": CpuTimer(launches, "cold")} | {
        f"{delay:+.0%}": CpuTimer([delayed(launch, delay * middle) for launch in launches], "cold") for delay in DELAYS
    }
    series, _ = in_rounds(timers, ROUNDS)
    results = []
    for name, true in (("again", 0.0), *((f"{delay:+.0%}", delay) for delay in DELAYS)):
        try:
            found = ratio(series[name], series["plain"])
        except ValueError:
            results.append((False, f"{name}: no round was left, every block was starved"))
            continue
        # The delay is of the probe's median; the layer's own level may have moved by a per cent since.
        holds = found.low / 1.01 <= 1 + true <= found.high * 1.01 and (true < 0.1 or found.low > 1)
        words = f"true {true:+.0%}, seen {found.value - 1:+.1%} [{found.low - 1:+.1%}, {found.high - 1:+.1%}]"
        results.append((holds, f"{name}: {words}, {found.rounds} rounds, {found.copies} copies"))
    return results


def stolen_core(launches: list[Launch]) -> list[tuple[bool, str]]:
    """Blocks with and without a process that spins on one of this process's cores."""
    core = max(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    timer, seen = CpuTimer(launches, "cold"), []
    for stolen in (False, True):
        thief = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)]) if stolen else None
        try:
            time.sleep(0.5)
            blocks = [timer.sample(BLOCK_SECONDS, MOST).cpu for _ in range(10)]
        finally:
            if thief is not None:
                thief.kill()
                thief.wait()
        starved = sum(why_starved(reading) is not None for reading in blocks if reading is not None)
        waited = statistics.median(reading.waited or 0.0 for reading in blocks if reading is not None)
        holds = starved >= 8 if stolen else starved <= 2
        words = "with a process on one of the cores" if stolen else "left alone"
        seen.append((holds, f"{words}: {starved} of 10 blocks starved, threads waited {waited:.0%} of the time"))
    return seen


def sleeping_thread() -> tuple[bool, str]:
    """A pool of two threads that read half a buffer each, and the same with one of them sleeping half of the time."""
    halves = np.ones((2, 1 << 22))

    def launch_of(pool: ThreadPoolExecutor, sleep: float) -> Launch:
        def part(number: int) -> None:
            end = time.perf_counter() + 0.01
            time.sleep(sleep if number == 0 else 0.0)
            while time.perf_counter() < end:
                np.add.reduce(halves[number])

        return lambda: list(pool.map(part, range(2))).clear()

    with ThreadPoolExecutor(2) as pool:
        awake, asleep = (CpuTimer([launch_of(pool, sleep)], "hot").sample(0.5, MOST).cpu for sleep in (0.0, 0.007))
    assert awake is not None
    assert asleep is not None
    holds = asleep.cores < 0.85 * awake.cores and why_starved(asleep) is None
    cores = f"{asleep.cores:.2f} cores instead of {awake.cores:.2f}"
    return holds, f"one thread of two sleeps 7 of 10 ms: {cores}, starved: {why_starved(asleep) or 'no'}"


def timer_costs() -> list[str]:
    """What a sample of nothing takes, what the clock resolves, what reading the cores costs."""
    empty = CpuTimer([lambda: None], "hot", settle=0.0).sample(0.2, 100_000).samples
    ticks = sorted({b - a for a, b in _pairs(time.perf_counter_ns)} - {0})
    meter = CpuMeter()
    readings = [_seconds(lambda: (meter.start(), meter.stop())) for _ in range(50)]
    return [
        f"a sample of an empty launch: median {statistics.median(empty):.0f} ns, p95 {np.quantile(empty, 0.95):.0f} ns",
        f"the clock's smallest step: {ticks[0] if ticks else 0} ns",
        f"reading what the cores did, per block: {statistics.median(readings) * 1e6:.0f} us, outside the samples",
    ]


def _pairs(clock: Callable[[], int]) -> list[tuple[int, int]]:
    return [(clock(), clock()) for _ in range(10_000)]


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
