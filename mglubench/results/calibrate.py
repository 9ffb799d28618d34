"""Identical code against itself, through the whole pipeline: how often a verdict is false.

Runs of the same code are split into two sides in every way there is (many of them at random where there are too many),
and every split is compared as two sides are. What repeats would know of the machine is taken from the runs that are on
neither side; the same splits are judged without it, too. Beside ours, the rules of other tools judge the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mglubench.errors import UsageError
from mglubench.results.compare import Rules, compare_runs
from mglubench.results.figure_samples import Recall
from mglubench.results.judgement import LATENCY, Verdict
from mglubench.results.levels import apart
from mglubench.results.readings import RATIOS
from mglubench.results.repeat_notebook import Remembered, Spread
from mglubench.results.rival_rules import RIVALS
from mglubench.results.run_comparison import Comparison
from mglubench.results.run_figures import RunFigures
from mglubench.stats import share_interval
from mglubench.status import Status

OURS, OURS_ALONE = "mglubench, with repeats", "mglubench, these runs alone"
RUNS_A_SIDE = (1, 3, 5)
MOST_SPLITS = 200
# Runs that must be left to tell of the spread.
LEAST_LEFT = 3


@dataclass(frozen=True, slots=True)
class Rate:
    """How one rule did.

    Attributes:
        rule: its name. runs: a side. jobs: comparisons. alarmed: of them, those that called any figure slower (or a
            fact worse). false: those with any verdict slower or faster. figures: judged in all of them. slower: called
            so. same: called so, ``None`` for a rule that has no such word. visible: median of the smallest visible
            change.
    """

    rule: str
    runs: int
    jobs: int
    alarmed: int
    false: int
    figures: int
    slower: int
    same: int | None = None
    visible: float | None = None

    @property
    def of_jobs(self) -> float:
        """Share of clean jobs that alarm."""
        return self.alarmed / self.jobs if self.jobs else math.nan

    @property
    def of_figures(self) -> float:
        """Share of figures that are called slower."""
        return self.slower / self.figures if self.figures else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of jobs, as if they were independent; splits of the same runs are not."""
        return share_interval(self.alarmed, self.jobs)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Rates of all rules on some runs of identical code; ``cases``: how many they have."""

    runs: int
    cases: int
    alarms: float
    rates: tuple[Rate, ...]


def calibrate(runs: Sequence[RunFigures], rules: Rules) -> Calibration:
    """Compare runs of identical code with each other.

    Args:
        runs: of one sweep on one machine, with their samples.

    Raises:
        UsageError: fewer than two runs.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run given; identical code against itself needs two, and tells more from ten")
    rates: list[Rate] = []
    for count in (n for n in RUNS_A_SIDE if 2 * n <= len(runs)):
        sides = list(splits(len(runs), count))
        known = len(runs) - 2 * count >= LEAST_LEFT
        rates += [_ours(OURS, runs, sides, rules, known=True)] if known else []
        rates.append(_ours(OURS_ALONE, runs, sides, rules, known=False))
        rates += _rivals(runs, sides)
    return Calibration(len(runs), len({key for run in runs for key in run.cases}), rules.alarms, tuple(rates))


def splits(runs: int, side: int, most: int = MOST_SPLITS) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Ways to choose two sides of so many runs, each way round once; neighbours in time first, then at random."""
    if math.comb(runs, side) * math.comb(runs - side, side) <= most:
        for base in combinations(range(runs), side):
            yield from ((base, new) for new in combinations([n for n in range(runs) if n not in base], side))
        return
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    for start in range(runs - 2 * side + 1):
        own = tuple(range(start, start + side)), tuple(range(start + side, start + 2 * side))
        for pair in (own, own[::-1]):
            seen.add(pair)
            yield pair
    rng = np.random.default_rng(0)
    while len(seen) < most:
        chosen = rng.permutation(runs)[: 2 * side].tolist()
        pair = tuple(sorted(chosen[:side])), tuple(sorted(chosen[side:]))
        if pair not in seen:
            seen.add(pair)
            yield pair


def spread_of(runs: Sequence[RunFigures], device: str) -> Remembered:
    """What repeats would remember of a device, by its name in the sweep, from these runs."""
    by: dict[str, dict[str, float]] = {LATENCY: {}, "ratios": {}}
    keys = dict.fromkeys(key for run in runs for key, case in run.cases.items() if case.case.device == device)
    for key in keys:
        for what in (LATENCY, *RATIOS):
            logs = [math.log(r.value) for run in runs if key in run.cases and (r := run.cases[key].readings.get(what))]
            if len(logs) > 1:
                kind, name = (LATENCY, key) if what == LATENCY else ("ratios", f"{key} {what}")
                by[kind][name] = float(np.std(logs, ddof=1))
    names = {key: next(run.cases[key].case for run in runs if key in run.cases) for key in keys}
    latencies = [{key: run.cases[key].latency for key in keys if _ok(run, key)} for run in runs]
    rounds = [{key: run.cases[key].rounds for key in keys if _ok(run, key)} for run in runs]
    found = apart(latencies, rounds, {key: case.variant for key, case in names.items()})
    return Remembered(
        "left out",
        "",
        len(runs),
        tuple(dict.fromkeys(case.mode for case in names.values())),
        None,
        _spread(by[LATENCY]),
        _spread(by["ratios"]) if by["ratios"] else None,
        0,
        0,
        _spread(found.cases) if found else None,
        found.level if found else None,
    )


def _ours(
    name: str,
    runs: Sequence[RunFigures],
    sides: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    rules: Rules,
    *,
    known: bool,
) -> Rate:
    found = []
    device = next((case.case.device for run in runs for case in run.cases.values()), "")
    for base, new in sides:
        left = [run for number, run in enumerate(runs) if number not in (*base, *new)]
        memory = spread_of(left, device) if known else None
        own = replace(rules, recall=_recalling(memory))
        found.append(compare_runs([runs[n] for n in base], [runs[n] for n in new], rules=own))
    return rate_of(name, len(sides[0][0]), found)


def _recalling(memory: Remembered | None) -> Recall:
    return lambda device: memory


def rate_of(name: str, runs: int, found: Sequence[Comparison]) -> Rate:
    """The rate of our rule in some comparisons of identical code."""
    judged = [judgement for comparison in found for judgement in comparison.all]
    visible = [j.visible for j in judged if j.visible is not None]
    timed = [j for j in judged if j.visible is not None]
    moved = (Verdict.SLOWER, Verdict.FASTER, Verdict.WORSE, Verdict.BETTER)
    return Rate(
        name,
        runs,
        len(found),
        sum(any(j.regression for j in comparison.all) for comparison in found),
        sum(any(j.verdict in moved for j in comparison.all) for comparison in found),
        len(timed),
        sum(j.verdict is Verdict.SLOWER for j in timed),
        sum(j.verdict is Verdict.SAME for j in timed),
        float(np.median(visible)) if visible else None,
    )


def _rivals(runs: Sequence[RunFigures], sides: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> Iterator[Rate]:
    """What other rules say of the cases' samples, those of a side put together."""
    samples = [
        {key: np.array(case.samples, float) for key, case in run.cases.items() if len(case.samples)} for run in runs
    ]
    for name, rule in RIVALS.items():
        figures = slower = alarmed = 0
        for base, new in sides:
            keys = [key for key in samples[base[0]] if all(key in samples[n] for n in (*base, *new))]
            called = [rule(_together(samples, base, key), _together(samples, new, key)) for key in keys]
            figures, slower, alarmed = figures + len(called), slower + sum(called), alarmed + any(called)
        if figures:
            yield Rate(name, len(sides[0][0]), len(sides), alarmed, alarmed, figures, slower)


def _together(samples: Sequence[Mapping[str, np.ndarray]], side: Sequence[int], key: str) -> np.ndarray:
    return np.concatenate([samples[number][key] for number in side])


def _ok(run: RunFigures, key: str) -> bool:
    return key in run.cases and run.cases[key].status == Status.OK and LATENCY in run.cases[key].readings


def _spread(by: Mapping[str, float]) -> Spread:
    values = list(by.values()) or [0.0]
    return Spread(float(np.median(values)), max(values), dict(by))
