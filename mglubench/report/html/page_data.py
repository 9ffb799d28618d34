"""A run as plain values for the page's scripts: columns, rounds, samples, and what every setting is held against.

Texts repeat, so a column of them is a list of words and a number per row. Of samples a page keeps all or, where they
are too many for a page, five numbers for each round of each row; it says which.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from mglubench.cases.axes import AXES
from mglubench.cases.case import Setting
from mglubench.cases.vocabulary import CEILINGS
from mglubench.measure.measurement import Round, series_of
from mglubench.report.looks import look_of
from mglubench.report.roofs import floor_us, roofs_of
from mglubench.report.tables import row_notices
from mglubench.results.ceilings import ceiling_by_device
from mglubench.results.rows import Plain
from mglubench.spread import constants

if TYPE_CHECKING:
    import pandas as pd

# About 1.5 MB of a page.
MOST_SAMPLES = 150_000
DIGITS = 7
WORDS = ("key", "status", "reason", "layer", "stop", "timer", "fastest_glu", "fastest_naive", "counters_reason")
NUMBERS = (
    *("latency_us", "latency_low_us", "latency_high_us", "latency_p5_us", "latency_p95_us"),
    *("samples", "discarded", "rounds", "processes", "set"),
    *(f"{name}{end}" for name in ("vs_glu", "vs_naive", "vs_printed") for end in ("", "_low", "_high")),
    *("bytes_weights", "bytes_masks", "bytes_x", "bytes_y", "bytes_scratch", "bytes_total", "flops"),
    *("bits_per_element", "memory_vs_glu", "gb_per_s", "share_of_ceiling", "share_of_own_read"),
    *("error_before", "error_after"),
    *("dram_bytes", "dram_bytes_read", "dram_bytes_written", "dram_over_formula", "dram_gb_per_s", "l2_bytes_written"),
    *("overhead_prepare_s", "overhead_sampling_s", "overhead_check_s", "overhead_isolation_s"),
)
Columns = dict[str, list[Plain]]


def run_data(frame: pd.DataFrame) -> dict[str, Plain]:
    """What the scripts of a page read of a derived frame that has its samples."""
    names = [name for name in (*AXES, *WORDS) if name in frame]
    text = [name for name in names if name in WORDS or isinstance(AXES[name].walked[0], str)]
    whole = [name for name in AXES if name not in text]
    marks = _marks(frame)
    return {
        "count": len(frame),
        "axes": list(AXES),
        "words": {name: _coded(frame[name].tolist()) for name in text},
        "numbers": {name: _numbers(frame[name].tolist()) for name in (*whole, *NUMBERS) if name in frame},
        "marks": marks,
        "ceilings": sorted(CEILINGS),
        "settings": list(_settings(frame)),
        "roofs": _roofs(frame),
        "places": _places(frame),
        "rule": dict(constants()),
        **_samples(frame),
    }


def _places(frame: pd.DataFrame) -> dict[str, Plain]:
    """The place of every variant among the looks, the same in every page."""
    layers = dict(zip(frame["variant"], frame["layer"], strict=True))
    return {str(name): look_of(str(name), str(layer)).place for name, layer in layers.items()}


def _coded(values: Sequence[object]) -> Plain:
    """Words, and for every row which of them it is; a missing one is an empty text."""
    texts = ["" if value is None or value != value else str(value) for value in values]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return {"words": list(numbers), "of": [numbers[text] for text in texts]}


def _numbers(values: Sequence[object]) -> list[Plain]:
    return [_number(value) for value in values]


def _number(value: object) -> int | float | None:
    if not isinstance(value, Real) or not math.isfinite(value):
        return None
    exact = float(value)
    return int(exact) if exact == int(exact) else float(f"{exact:.{DIGITS}g}")


def _marks(frame: pd.DataFrame) -> dict[str, Plain]:
    """What must be said of figures: the sentences, and for every row which of them hold for it."""
    said = [
        row_notices({"notices": one, "notes": done}) for one, done in zip(frame["notices"], frame["notes"], strict=True)
    ]
    numbers = {words: number for number, words in enumerate(dict.fromkeys(words for row in said for words in row))}
    return {"words": list(numbers), "of": [[numbers[words] for words in row] for row in said]}


def _samples(frame: pd.DataFrame) -> dict[str, Plain]:
    """The rounds of every row with their medians (log) and what copies make of the variance, and samples by round."""
    samples, turns = frame["samples_ns"].tolist(), frame["rounds_of"].tolist()
    whole = sum(map(len, samples)) <= MOST_SAMPLES
    plans: dict[tuple[tuple[int, int], ...], int] = {}
    found: Columns = {name: [] for name in ("plan", "counts", "medians", "part", "drawn")}
    for own, rounds in zip(samples, turns, strict=True):
        kept = [turn for turn in rounds if turn.count] or ([Round(0, 0, count=len(own))] if own else [])
        plan = tuple((turn.number, turn.process) for turn in kept)
        found["plan"].append(plans.setdefault(plan, len(plans)))
        found["counts"].append([turn.count for turn in kept])
        found["drawn"].append(own if whole else _five(own, kept))
        medians, part = _spread(own, kept)
        found["medians"].append(medians)
        found["part"].append(part)
    return {
        "rounds": {**found, "plans": [[list(turn) for turn in plan] for plan in plans]},
        "all_samples": whole,
        "sample_count": sum(map(len, samples)),
    }


def _spread(samples: Sequence[int | float], rounds: Sequence[Round]) -> tuple[list[Plain], list[Plain]]:
    if not rounds:
        return [], [0, 0, 1]
    series = series_of(samples, rounds)
    part = series.between_copies
    values: list[Plain] = [float(f"{float(value):.9g}") for value in (part.variance, part.at_most)]
    return [round(value, 10) for value in series.round_medians.tolist()], [*values, part.count]


def _five(samples: Sequence[int | float], rounds: Sequence[Round]) -> list[Plain]:
    """Least, first quartile, median, third quartile and largest of every round."""
    found: list[Plain] = []
    start = 0
    for turn in rounds:
        found += [round(v) for v in np.percentile(samples[start : start + turn.count], (0, 25, 50, 75, 100)).tolist()]
        start += turn.count
    return found


def _settings(frame: pd.DataFrame) -> Iterator[dict[str, Plain]]:
    """Every setting that has a layer, with its roofs and with the time that its bytes take at the measured ceiling."""
    layers = frame[~frame["layer"].isin(CEILINGS)]
    shared = [name for name, axis in AXES.items() if axis.shared]
    ceilings = ceiling_by_device(frame)
    nms = sorted({int(nm) for nm in layers["nm"] if nm})
    for row in layers[shared].drop_duplicates().to_dict("records"):
        setting = Setting.of({str(name): value for name, value in row.items()})
        ceiling = ceilings.get(setting.device)
        yield {
            "title": setting.title(),
            "of": {name: setting.value(name) for name in shared},
            "roofs": f"{setting.device}/{setting.dtype}",
            "ceiling": _number(ceiling),
            "floor": [[nm, _number(floor_us(setting, nm, ceiling))] for nm in nms] if ceiling else [],
        }


def _roofs(frame: pd.DataFrame) -> dict[str, Plain]:
    """Roofs by device and dtype."""
    pairs = frame[~frame["layer"].isin(CEILINGS)][["device", "dtype"]].drop_duplicates().itertuples(index=False)
    found: dict[str, Plain] = {}
    for device, dtype in pairs:
        roofs = roofs_of(frame, str(device), str(dtype))
        found[f"{device}/{dtype}"] = {
            "device": roofs.device,
            "memory": [asdict(roof) for roof in roofs.memory],
            "compute": [asdict(roof) for roof in roofs.compute],
            "l2_bytes": _number(roofs.l2_bytes),
        }
    return found
