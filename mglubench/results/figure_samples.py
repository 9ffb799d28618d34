"""The figures of two sides as the rule for runs takes them: a number a run, and what is known of its spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mglubench.cases.case import Case
from mglubench.results.between_runs import Known, Sample, in_spreads, said_by_half
from mglubench.results.companions import Against, Companions, companions
from mglubench.results.judgement import LATENCY
from mglubench.results.levels import levels
from mglubench.results.readings import RATIOS, Reading
from mglubench.results.repeat_notebook import Remembered, Spread
from mglubench.results.run_figures import CaseFigures, RunFigures

FloatArray = npt.NDArray[np.float64]
Numbered = Sequence[tuple[int, Reading]]
# What repeats found of a device, by the name that it reports.
Recall = Callable[[str], Remembered | None]

# Of a figure that repeats did not have, what its like showed says less.
OF_ITS_LIKE = 4.0
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Pair:
    """A case that both sides have: what each run says of it, under its key on either side."""

    case: Case
    base: Sequence[CaseFigures | None]
    new: Sequence[CaseFigures | None]


@dataclass(frozen=True, slots=True)
class FigureSample:
    """A figure of a case in all runs.

    Attributes:
        base, new: values, a run each that has it. over: variants that a ratio is over, on either side.
        judged: logarithms, of a latency against the others of its run where there are enough of them. plain: as they
            are. cycles: of a latency times its clock, where every run tells it.
        against_others: whether ``judged`` is. alike: change of a latency in rounds in which its companions took the
            same time on both sides, NaN where they tell too little.
    """

    what: str
    case: Case
    key: str
    base: Sequence[float]
    new: Sequence[float]
    over: Sequence[str]
    judged: Sample
    plain: Sample
    cycles: Sample | None
    against_others: bool
    alike: float = math.nan


@dataclass(frozen=True, slots=True)
class Level:
    """What all cases of a device in one mode have in common, in the runs of either side."""

    device: str
    mode: str
    sample: Sample


def figure_samples(
    pairs: Mapping[str, Pair],
    base: Sequence[RunFigures],
    new: Sequence[RunFigures],
    recall: Recall,
    suspects: Collection[str] = (),
) -> tuple[list[FigureSample], list[Level]]:
    """Latencies and ratios of all cases that both sides measured, and the levels that they were held against.

    Args:
        suspects: keys of cases that are no companions of each other.
    """
    memory = _Memory(recall, [*base, *new])
    groups = sorted({(pair.case.device, pair.case.mode) for pair in pairs.values()})
    shared = {group: _levels(group, pairs) for group in groups}
    beside = {key: against for group in groups for key, against in _companions(group, pairs, suspects, memory).items()}
    found = [figure for key, pair in pairs.items() for figure in _figures(key, pair, beside.get(key), memory)]
    kept = [
        Level(device, mode, Sample(before, now, known=memory.of_level(device)))
        for (device, mode), sides in sorted(shared.items())
        if sides is not None
        for before, now in [sides]
    ]
    return found, kept


def _levels(group: tuple[str, str], pairs: Mapping[str, Pair]) -> tuple[FloatArray, FloatArray] | None:
    own = {key: pair for key, pair in pairs.items() if (pair.case.device, pair.case.mode) == group}
    first = next(iter(own.values()))
    counts = len(first.base), len(first.new)
    runs = [
        {
            key: math.log(reading.value)
            for key, pair in own.items()
            if (reading := _reading((*pair.base, *pair.new)[number], LATENCY))
        }
        for number in range(sum(counts))
    ]
    found = levels(runs, {key: pair.case.variant for key, pair in own.items()})
    return None if found is None else (found[: counts[0]], found[counts[0] :])


def _companions(
    group: tuple[str, str], pairs: Mapping[str, Pair], suspects: Collection[str], memory: _Memory
) -> dict[str, Companions]:
    """The cases of a device and mode against their companions."""
    own = {key: pair for key, pair in pairs.items() if (pair.case.device, pair.case.mode) == group}
    first = next(iter(own.values()))
    sides = [0] * len(first.base) + [1] * len(first.new)
    runs = [
        {key: run.rounds for key, pair in own.items() if (run := (*pair.base, *pair.new)[number]) and run.rounds}
        for number in range(len(sides))
    ]
    variants = {key: pair.case.variant for key, pair in own.items()}
    return companions(runs, variants, sides, suspects, memory.companions(group[0]))


def _figures(key: str, pair: Pair, beside: Companions | None, memory: _Memory) -> Iterator[FigureSample]:
    for what in (LATENCY, *RATIOS):
        before, now = _having(pair.base, what), _having(pair.new, what)
        if not before or not now:
            continue
        readings = [reading for _, reading in (*before, *now)]
        within = [(reading.half_width / _Z) ** 2 for reading in readings if reading.known]
        plain = Sample(_logs(before), _logs(now), within, memory.of(what, key, pair.case))
        judged, alike = plain, math.nan
        if what == LATENCY and beside is not None:
            judged, alike = _among(key, pair, beside, memory), beside.both.alike
        yield FigureSample(
            what,
            pair.case,
            key,
            [reading.value for _, reading in before],
            [reading.value for _, reading in now],
            list(dict.fromkeys(reading.base for reading in readings if reading.base)),
            judged,
            plain,
            _in_cycles(pair, before, now, plain) if what == LATENCY else None,
            judged is not plain,
            alike,
        )


def _among(key: str, pair: Pair, beside: Companions, memory: _Memory) -> Sample:
    """A case against both companions, or against the one that says least where one of them hardly moved against it."""
    both = _beside(key, pair, beside.both, memory)
    each = [_beside(key, pair, against, memory) for against in beside.each]
    return both if all(said_by_half(both, one) for one in each) else min(each, key=in_spreads)


def _beside(key: str, pair: Pair, against: Against, memory: _Memory) -> Sample:
    base, new = against.values[: len(pair.base)], against.values[len(pair.base) :]
    known = memory.against_others(against.name(key), pair.case)
    return Sample(base[np.isfinite(base)], new[np.isfinite(new)], known=known)


def _having(side: Sequence[CaseFigures | None], what: str) -> Numbered:
    """The runs of a side that have a figure, by their numbers."""
    return [(number, found) for number, run in enumerate(side) if (found := _reading(run, what))]


def _logs(side: Numbered) -> FloatArray:
    return np.array([math.log(reading.value) for _, reading in side])


def _reading(run: CaseFigures | None, what: str) -> Reading | None:
    return None if run is None else run.readings.get(what)


def _in_cycles(pair: Pair, before: Numbered, now: Numbered, plain: Sample) -> Sample | None:
    """Latencies times clocks; ``None`` unless every run tells its clock."""
    base, new = _clocks(pair.base, before), _clocks(pair.new, now)
    if base is None or new is None:
        return None
    return Sample(plain.base + base, plain.new + new, plain.within, plain.known)


def _clocks(runs: Sequence[CaseFigures | None], side: Numbered) -> FloatArray | None:
    clocks = [run.sm_mhz for number, _ in side if (run := runs[number]) is not None and run.sm_mhz is not None]
    return np.log(np.array(clocks)) if len(clocks) == len(side) else None


class _Memory:
    """What repeats of before found, where their device, threads and mode were those of these runs."""

    def __init__(self, recall: Recall, runs: Sequence[RunFigures]) -> None:
        self._found: dict[str, Remembered | None] = {}
        for run in runs:
            for name, device in run.devices.items():
                if name not in self._found:
                    known = recall(device.name) if device.name and not run.fake else None
                    fits = known is not None and known.threads in (None, device.torch_threads)
                    self._found[name] = known if fits else None

    def of(self, what: str, key: str, case: Case) -> Known | None:
        """Of a latency as it is, or of a ratio."""
        known = self._found.get(case.device)
        if known is None or case.mode not in known.modes:
            return None
        if what == LATENCY:
            return _known(known.latencies, key, known.runs)
        return _known(known.ratios, f"{key} {what}", known.runs) if known.ratios else None

    def against_others(self, name: str, case: Case) -> Known | None:
        """Of a latency against a companion."""
        known = self._found.get(case.device)
        if known is None or case.mode not in known.modes or known.others is None:
            return None
        return _known(known.others, name, known.runs)

    def companions(self, device: str) -> Collection[str]:
        """Names of the spreads of cases against their companions."""
        known = self._found.get(device)
        return known.others.by if known is not None and known.others is not None else ()

    def of_level(self, device: str) -> Known | None:
        """Of what all cases of a run have in common."""
        known = self._found.get(device)
        if known is None or known.level is None:
            return None
        return Known(known.level, known.runs - 1.0)


def _known(spread: Spread, name: str, runs: int) -> Known:
    if name in spread.by:
        return Known(spread.by[name], runs - 1.0)
    values = list(spread.by.values()) or [spread.largest]
    return Known(math.sqrt(sum(value**2 for value in values) / len(values)), min(OF_ITS_LIKE, runs - 1.0))
