"""What the same sweep says again: the spread between whole runs, and whether the printed intervals told of it.

Pure statistics over derived frames of N runs (:func:`repeats_of`). Of every latency and every ratio that tables show::

    value     grand median: of the runs' medians
    deviation standard deviation of the runs' logarithms, with its own 95 % interval (chi-square)
    covered   runs whose printed 95 % interval holds the grand median
    narrow    printed intervals of less than half the width that the spread asks for (half width < 1.96 deviation / 2)
    alarms    pairs of runs that their intervals call different
    visible   the smallest change that k runs a side can see (:func:`~mglubench.stats.visible_change`)

A ratio of a case over itself is exact and says nothing: where a case was its own baseline, that run is left out of its
ratio. What a run failed to measure is missing from its figures alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mglubench.cases.case import Setting
from mglubench.results.companions import Rounds
from mglubench.results.judgement import LATENCY
from mglubench.results.levels import Apart, apart
from mglubench.results.load_run import load
from mglubench.results.readings import Reading, number_of, readings_of, rounds_of, shown_rows
from mglubench.stats import deviation_interval, share_interval, visible_change

if TYPE_CHECKING:
    import pandas as pd

RUNS_A_SIDE = (1, 3, 5)
# A 95 % interval of a normal number, in standard deviations.
_Z = 1.96
# Beyond it a factor is no number that there is.
_LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A latency or a ratio over all runs.

    Attributes:
        what: :data:`LATENCY` or one of :data:`RATIOS`. key, variant, nm, mask, setting: of the case. bases: who it was
            divided by, in the order of the runs, each once.
        value: grand median, us or a plain number. deviation: between runs, log, with the ends of its 95 % interval.
        runs: that have it. covered, narrow: printed intervals, of ``intervals``. alarms: of ``pairs``.
        visible: smallest visible change by runs a side, relative.
    """

    what: str
    key: str
    variant: str
    nm: int
    mask: str
    setting: Setting
    bases: tuple[str, ...]
    value: float
    deviation: float
    deviation_low: float
    deviation_high: float
    runs: int
    intervals: int
    covered: int
    narrow: int
    pairs: int
    alarms: int
    visible: Mapping[int, float]

    @property
    def name(self) -> str:
        """The figure's name in a notebook: the case, and what its ratio is over."""
        return self.key if self.what == LATENCY else f"{self.key} {self.what}"


@dataclass(frozen=True, slots=True)
class Summary:
    """Some figures together.

    Attributes:
        figures: how many. median, largest: deviation between runs, log. largest_of: the figure with the largest.
        coverage_low, coverage_high: 95 % interval of the share of intervals that cover (binomial; runs count as
            independent, figures of one run are not quite). visible: of the figure with the largest deviation.
    """

    figures: int
    median: float
    largest: float
    largest_of: Figure
    intervals: int
    covered: int
    coverage_low: float
    coverage_high: float
    narrow: int
    visible: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Repeats:
    """All figures of a job that was run several times; ``apart``: by device, of cases against the others of a run."""

    runs: int
    latencies: Sequence[Figure] = field(default_factory=tuple)
    ratios: Sequence[Figure] = field(default_factory=tuple)
    apart: Mapping[str, Apart] = field(default_factory=dict)

    def on(self, device: str) -> Repeats:
        """Those of one device, by its name in the sweep."""
        latencies, ratios = (
            [f for f in figures if f.setting.device == device] for figures in (self.latencies, self.ratios)
        )
        return Repeats(self.runs, latencies, ratios, {n: found for n, found in self.apart.items() if n == device})


def read_repeats(folders: Iterable[Path]) -> Repeats:
    """The statistics of stored runs of the same sweep.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    return repeats_of(load(folder, samples=True) for folder in folders)


def repeats_of(frames: Iterable[pd.DataFrame]) -> Repeats:
    """The statistics of derived frames, one a run; figures that fewer than two runs have are left out."""
    cases: dict[str, Mapping[str, object]] = {}
    found: dict[tuple[str, str], list[Reading]] = {}
    runs: list[dict[str, float]] = []
    rounds: list[dict[str, Rounds]] = []
    for frame in frames:
        runs.append({})
        rounds.append({})
        for row in shown_rows(frame):
            cases.setdefault(str(row["key"]), row)
            runs[-1][str(row["key"])] = math.log(number_of(row, LATENCY))
            rounds[-1][str(row["key"])] = rounds_of(row)
            for what, reading in readings_of(row):
                found.setdefault((what, str(row["key"])), []).append(reading)
    several = {name: readings for name, readings in found.items() if len(readings) > 1}
    ratios = [name for name in several if name[0] != LATENCY]
    latencies = [name for name in several if name[0] == LATENCY]
    of_latencies, of_ratios = (
        [_figure(what, cases[key], several[what, key], len(names)) for what, key in names]
        for names in (latencies, ratios)
    )
    return Repeats(len(runs), of_latencies, of_ratios, _apart(runs, rounds, cases))


def summary(figures: Sequence[Figure]) -> Summary | None:
    """What figures have in common; ``None`` without any."""
    if not figures:
        return None
    worst = max(figures, key=lambda figure: figure.deviation)
    covered, intervals = (sum(getattr(figure, name) for figure in figures) for name in ("covered", "intervals"))
    middle = float(np.median([figure.deviation for figure in figures]))
    narrow = sum(figure.narrow for figure in figures)
    ends = share_interval(covered, intervals)
    return Summary(len(figures), middle, worst.deviation, worst, intervals, covered, *ends, narrow, worst.visible)


def _apart(
    runs: Sequence[Mapping[str, float]],
    rounds: Sequence[Mapping[str, Rounds]],
    cases: Mapping[str, Mapping[str, object]],
) -> dict[str, Apart]:
    """By device; of several modes, each against its own, the largest level."""
    found: dict[str, Apart] = {}
    for device, mode in sorted({(str(row["device"]), str(row["mode"])) for row in cases.values()}):
        own = {key: str(row["variant"]) for key, row in cases.items() if (row["device"], row["mode"]) == (device, mode)}
        latencies = [{key: run[key] for key in own if key in run} for run in runs]
        one = apart(latencies, [{key: run[key] for key in own if key in run} for run in rounds], own)
        if one is not None:
            before = found.get(device, Apart({}, 0.0))
            found[device] = Apart({**before.cases, **one.cases}, max(before.level, one.level))
    return found


def _figure(what: str, row: Mapping[str, object], readings: Sequence[Reading], figures: int) -> Figure:
    logs = np.log([reading.value for reading in readings])
    middle, deviation = float(np.median(logs)), float(logs.std(ddof=1))
    printed = [(reading, float(log)) for reading, log in zip(readings, logs, strict=True) if reading.known]
    pairs = list(combinations(printed, 2))
    return Figure(
        what,
        str(row["key"]),
        str(row["variant"]),
        int(number_of(row, "nm")),
        str(row["mask"]),
        Setting.of(row),
        tuple(dict.fromkeys(reading.base for reading in readings if reading.base)),
        math.exp(middle),
        deviation,
        *deviation_interval(deviation, len(logs)),
        runs=len(logs),
        intervals=len(printed),
        covered=sum(_holds(reading, math.exp(middle)) for reading, _ in printed),
        narrow=sum(reading.half_width < _Z * deviation / 2 for reading, _ in printed),
        pairs=len(pairs),
        alarms=sum(abs(a - b) > math.hypot(one.half_width, other.half_width) for (one, a), (other, b) in pairs),
        visible={k: math.expm1(min(visible_change(deviation, k, figures), _LARGEST_LOG)) for k in RUNS_A_SIDE},
    )


def _holds(reading: Reading, value: float) -> bool:
    """Whether the printed interval holds a value; a logarithm and back must not decide it."""
    return reading.low * (1 - 1e-12) <= value <= reading.high * (1 + 1e-12)
