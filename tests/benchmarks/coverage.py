"""How often 95 % intervals cover a truth that is known: ``python -m tests.benchmarks.coverage [RUNS]``.

Runs are made up: rounds, copies and noise by the model in ``mglubench/spread.py``, a share of outliers, a drift over
the run. A latency's truth is the median of what a round and a copy without an effect would give; a ratio's is 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mglubench.spread import FloatArray, IntArray, between_copies, half_width

NOISE = 0.03
OUTLIERS, OUTLIER = 0.05, (1.5, 3.0)


@dataclass(frozen=True)
class World:
    """A machine and a design.

    Attributes:
        rounds, copies, samples: per run, per layer, per round. of_rounds, of_copies: standard deviations of what rounds
            and copies do, on the logarithmic scale. own: of what a round does to one side of a ratio alone.
        outliers: share of samples that take 1.5 to 3 times as long. drift: linear, from the first round to the last.
        processes: that share the rounds, each with copies of its own. of_processes: standard deviation of what a
            process does to one side of a ratio alone.
    """

    rounds: int = 5
    copies: int = 8
    samples: int = 24
    of_rounds: float = 0.0
    of_copies: float = 0.0
    own: float = 0.0
    outliers: float = OUTLIERS
    drift: float = 0.0
    processes: int = 1
    of_processes: float = 0.0

    @property
    def process_of(self) -> IntArray:
        """The process of each round, [R]."""
        return np.arange(self.rounds) * self.processes // self.rounds

    def words(self) -> str:
        """For a table."""
        return (
            f"{self.rounds:3} rounds {self.copies} copies {self.samples:3} samples  rounds {self.of_rounds:4.0%}"
            f" (own {self.own:2.0%})  copies {self.of_copies:3.0%}  outliers {self.outliers:2.0%}"
            f"  drift {self.drift:3.0%}  {self.processes} processes {self.of_processes:2.0%}"
        )


def machine(world: World, runs: int, rng: np.random.Generator) -> FloatArray:
    """What rounds do to every case, [runs, R]."""
    drift = world.drift * (np.arange(world.rounds) / (world.rounds - 1) - 0.5)
    return world.of_rounds * rng.standard_normal((runs, world.rounds)) + drift


def case(world: World, rounds: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A case's round medians [runs, R] and its medians by round and copy [runs, R, C], log, true level 0."""
    runs = len(rounds)
    turns = np.arange(world.rounds * world.samples).reshape(world.rounds, world.samples) % world.copies
    turns += world.process_of[:, None] * world.copies
    of_copies = world.of_copies * rng.standard_normal((runs, world.copies * world.processes))
    of_processes = world.of_processes * rng.standard_normal((runs, world.processes))
    y = NOISE * rng.standard_normal((runs, world.rounds, world.samples))
    own = world.own * rng.standard_normal(rounds.shape) + of_processes[:, world.process_of]
    y += (rounds + own)[:, :, None] + of_copies[:, turns]
    slow = rng.random(y.shape) < world.outliers
    y += np.where(slow, np.log(rng.uniform(*OUTLIER, y.shape)), 0.0)
    cells = np.full((runs, world.rounds, world.copies * world.processes), np.nan)
    for number in range(world.rounds):
        for copy in np.unique(turns[number]):
            cells[:, number, copy] = np.median(y[:, number, turns[number] == copy], axis=1)
    return np.median(y, axis=2), cells


def true_level(outliers: float) -> float:
    """The median of noise with outliers, log: where half of the clean samples and half of all are below."""
    # Outliers lie above the median, so the clean samples' share below it is 1 / (2 (1 - outliers)).
    target, low, high = 0.5 / (1 - outliers), 0.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * (1 + math.erf(middle / math.sqrt(2))) < target else (low, middle)
    return NOISE * low


def latency_coverage(world: World, runs: int, seed: int = 0) -> float:
    """Share of runs whose interval of a latency holds the truth."""
    rng = np.random.default_rng(seed)
    rounds, cells = case(world, machine(world, runs, rng), rng)
    half, _ = half_width(rounds, [between_copies(rounds, cells)], world.process_of)
    return float(np.mean(np.abs(np.median(rounds, axis=1) - true_level(world.outliers)) <= half))


def ratio_coverage(world: World, runs: int, seed: int = 0) -> float:
    """Share of runs whose interval of a ratio of two cases holds 1."""
    rng = np.random.default_rng(seed)
    both = machine(world, runs, rng)
    sides = [case(world, both, rng) for _ in range(2)]
    difference = sides[0][0] - sides[1][0]
    half, _ = half_width(difference, [between_copies(*side) for side in sides], world.process_of)
    return float(np.mean(np.abs(np.median(difference, axis=1)) <= half))


def worlds() -> Iterator[World]:
    """Every combination that is promised: 5 or more rounds, 4 or more copies."""
    for rounds in (5, 8, 15):
        for copies, samples in ((4, 24), (5, 20), (9, 24), (9, 9)):
            for of_copies in (0.0, 0.01, 0.02, 0.05):
                for of_rounds, own in ((0.0, 0.0), (0.02, 0.0), (0.1, 0.02)):
                    for outliers in (0.0, OUTLIERS):
                        yield World(rounds, copies, samples, of_rounds, of_copies, own, outliers)


def several_processes() -> Iterator[World]:
    """Rounds that two or more processes share; what processes do is only known well from many."""
    for rounds, processes in ((6, 2), (6, 3), (6, 6), (12, 4)):
        for of_copies in (0.0, 0.02, 0.05):
            for of_processes in (0.0, 0.01, 0.03):
                yield World(rounds, 8, 24, 0.02, of_copies, 0.01, processes=processes, of_processes=of_processes)


def few_copies() -> Iterator[World]:
    """Two and three copies, where no interval can keep its promise everywhere."""
    for rounds in (5, 15):
        for copies in (2, 3):
            for of_copies in (0.0, 0.02, 0.05):
                yield World(rounds, copies, 24, 0.02, of_copies)


def main() -> int:
    """Print coverage by world; 1 if a promised one lies outside of 92 to 98.5 %."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    found: list[tuple[float, str]] = []
    for world in worlds():
        for what, cover in (("latency", latency_coverage), ("ratio", ratio_coverage)):
            found.append((cover(world, runs), f"{what:8}{world.words()}"))
            print(f"{found[-1][0]:6.1%}  {found[-1][1]}", flush=True)
    for drift in (0.02, 0.05, 0.1):
        for rounds in (5, 10):
            world = World(rounds, drift=drift, of_rounds=0.02, of_copies=0.02)
            found.append((ratio_coverage(world, runs), f"ratio   {world.words()}"))
            print(f"{found[-1][0]:6.1%}  {found[-1][1]}")
            print(f"{latency_coverage(world, runs):6.1%}  latency {world.words()} (no promise: spread with drift)")
    for world in [*few_copies(), *several_processes()]:
        for what, cover in (("latency", latency_coverage), ("ratio", ratio_coverage)):
            print(f"{cover(world, runs):6.1%}  {what:8}{world.words()} (no promise)")
    shares = np.array([share for share, _ in found])
    inside = np.mean((shares >= 0.93) & (shares <= 0.97))
    print(f"{len(found)} worlds: {shares.min():.1%} to {shares.max():.1%}, mean {shares.mean():.1%}")
    print(f"{inside:.0%} of them in 93 to 97 %")
    return 0 if shares.min() >= 0.92 and shares.max() <= 0.985 else 1


if __name__ == "__main__":
    sys.exit(main())
