"""The figures of a run that other runs can be held against: latencies and the ratios that tables show, as printed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mglubench.cases.vocabulary import CEILINGS
from mglubench.comparison import PRINTED
from mglubench.measure.measurement import series_of
from mglubench.results.companions import Rounds
from mglubench.results.judgement import LATENCY

if TYPE_CHECKING:
    import pandas as pd

# Ratios by their columns, each with the column of its baseline's name.
RATIOS = {"vs_glu": "fastest_glu", "vs_naive": "fastest_naive", "vs_printed": ""}


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure in one run: its value, its printed 95 % interval (NaN where there is none), who it was divided by."""

    value: float
    low: float
    high: float
    base: str

    @property
    def known(self) -> bool:
        """Whether an interval was printed that says anything."""
        return 0 < self.low <= self.high < math.inf

    @property
    def half_width(self) -> float:
        """Of the printed interval, log."""
        return math.log(self.high / self.low) / 2


def shown_rows(frame: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Layers that were measured; a baseline of several sets as the first of them measured it, as in tables."""
    seen: set[str] = set()
    for row in frame.to_dict("records"):
        if row["status"] == "ok" and row["layer"] not in CEILINGS and row["key"] not in seen:
            seen.add(row["key"])
            yield {str(name): value for name, value in row.items()}


def readings_of(row: Mapping[str, object]) -> Iterator[tuple[str, Reading]]:
    """A row's latency and its ratios over other cases, each with its name."""
    ends = number_of(row, "latency_low_us"), number_of(row, "latency_high_us")
    if (latency := number_of(row, LATENCY)) > 0:
        yield LATENCY, Reading(latency, *ends, "")
    for what, named in RATIOS.items():
        base = row.get(named) if named else PRINTED
        value = number_of(row, what)
        if value > 0 and base != row["variant"]:
            yield what, Reading(value, number_of(row, f"{what}_low"), number_of(row, f"{what}_high"), str(base))


def number_of(row: Mapping[str, object], name: str) -> float:
    """A number of a row, NaN where it has none."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float | np.number) else math.nan


def rounds_of(row: Mapping[str, object]) -> Rounds:
    """Logarithms of the medians of a row's rounds; none where they are not known."""
    samples, turns = row.get("samples_ns"), row.get("rounds_of")
    if not isinstance(samples, list) or not isinstance(turns, list) or not turns:
        return {}
    series, number = series_of(samples, turns), row.get("set")
    where = number if isinstance(number, int) else 0
    return {
        (where, int(turn)): float(log) for turn, log in zip(series.round_numbers, series.round_medians, strict=True)
    }
