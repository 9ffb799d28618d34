"""What is derived from measurements: speed-ups with intervals, bytes per weight element, shares of the ceiling.

A speed-up is a ratio within one comparison set, taken round by round (:mod:`mglubench.comparison`): against the fastest
GLU, against the fastest naive layer of the same nm and masks, and against the naive layer as the paper prints it. Its
interval follows the rule of :mod:`mglubench.spread`; samples of one round (runs of schema 1) give a ratio without one.
Only cases whose status is ``ok`` take part.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mglubench.cases.axes import SHARED
from mglubench.cases.vocabulary import CEILINGS
from mglubench.comparison import Member, compare_set, role_of
from mglubench.estimates import Estimate, Series, latency, ratio
from mglubench.measure.measurement import series_of
from mglubench.measure.rotation import why_not_cold
from mglubench.notices import LEAST_SAMPLES, noise_notice, notices, plain_notices
from mglubench.results.byte_columns import add_ledger
from mglubench.results.ceilings import ceiling_by_device

if TYPE_CHECKING:
    import pandas as pd

SETTING = list(SHARED)
# Columns of a frame as plain lists: what they hold, pandas does not say.
Lists = dict[str, list[Any]]


def derive(frame: pd.DataFrame) -> pd.DataFrame:
    """Add derived columns to a frame that was loaded with ``samples=True``.

    Adds ``fastest_glu`` and ``fastest_naive`` (names), ``vs_glu``, ``vs_naive`` and ``vs_printed`` (speed-ups over
    these and over the naive layer as printed), each with ``_low`` and ``_high`` (95 %, NaN where too little is known);
    ``bits_per_element``; ``memory_vs_glu`` (share of the fastest GLU's bytes saved, negative if more is moved);
    ``ceiling_gb_per_s`` (the best reader of a large buffer in the set) and ``share_of_ceiling``; ``share_of_own_read``
    (of the rate at which the setting's own matrix was read, where a run has that); ``notices`` (what else a reader must
    know of a figure, by semicolons); and the byte ledger's columns (see
    :func:`~mglubench.results.byte_columns.add_ledger`).
    """
    out = frame.copy()
    out.attrs = dict(frame.attrs)
    elements = (out["h"] * out["d"]).astype(float)
    out["bits_per_element"] = 8 * out["bytes_total"].astype(float) / elements
    out.loc[out["samples"] < LEAST_SAMPLES, ["latency_low_us", "latency_high_us"]] = np.nan
    _add_comparisons(out)
    # What was read alone (a run of before, or a mode that no read was measured in) is held against the device's best.
    alone = out["device"].map(ceiling_by_device(out)).astype(float)
    out["ceiling_gb_per_s"] = out["ceiling_gb_per_s"].fillna(alone)
    out["share_of_ceiling"] = out["share_of_ceiling"].fillna(out["gb_per_s"].astype(float) / out["ceiling_gb_per_s"])
    add_ledger(out, SETTING)
    return out


def _add_comparisons(out: pd.DataFrame) -> None:
    """Ratios and shares, set by set."""
    columns = _columns(out)
    result: Lists = {name: [None] * len(out) for name in _COMPARED_COLUMNS}
    for layers, reads in _groups(columns):
        _compare(columns, layers, reads, result)
    for name, values in result.items():
        text = name in (*_NAMES.values(), "notices")
        out[name] = values if text else np.array([np.nan if v is None else v for v in values], float)


_RATIOS = ("vs_glu", "vs_naive", "vs_printed")
_NAMES = {"vs_glu": "fastest_glu", "vs_naive": "fastest_naive"}
_COMPARED_COLUMNS = (
    *("fastest_glu", "fastest_naive", "memory_vs_glu", "ceiling_gb_per_s", "share_of_ceiling", "share_of_own_read"),
    "notices",
    *(f"{name}{end}" for name in _RATIOS for end in ("", "_low", "_high")),
)


def _columns(out: pd.DataFrame) -> Lists:
    wanted = [
        "variant",
        "layer",
        "status",
        "nm",
        "mask",
        "latency_us",
        "bytes_total",
        "samples_ns",
        "rounds_of",
        "discarded",
        "set",
        "timer",
    ]
    return {name: out[name].tolist() for name in [*SETTING, *wanted]}


def _groups(columns: Lists) -> list[tuple[list[int], list[int]]]:
    """Layers that are compared, a setting of a comparison set at a time, each with the reads of that set."""
    layers: dict[Any, list[int]] = {}
    reads: dict[int, list[int]] = {}
    for index, (status, layer, number) in enumerate(
        zip(columns["status"], columns["layer"], columns["set"], strict=True)
    ):
        if status == "ok" and layer == "read" and columns["rounds_of"][index]:
            reads.setdefault(number, []).append(index)
        elif status == "ok" and layer not in CEILINGS:
            layers.setdefault((number, *(columns[name][index] for name in SETTING)), []).append(index)
    return [(indices, reads.get(number, [])) for (number, *_), indices in layers.items()]


def _compare(columns: Lists, layers: list[int], reads: list[int], result: Lists) -> None:
    series = {i: series_of(columns["samples_ns"][i], columns["rounds_of"][i]) for i in (*layers, *reads)}
    compared = compare_set([_member(columns, i, series[i]) for i in layers])
    for index in layers:
        found = compared[index]
        for name, base, over in zip(
            _RATIOS,
            (found.glu, found.naive, found.printed),
            (found.over_glu, found.over_naive, found.over_printed),
            strict=True,
        ):
            if over is not None and isinstance(base, int):
                enough = min(len(series[i].samples) for i in (base, index)) >= LEAST_SAMPLES
                _put_ratio(result, name, index, over, interval=enough)
                if not columns["rounds_of"][index]:
                    # As tables of such runs always had it: of plain medians.
                    result[name][index] = columns["latency_us"][base] / columns["latency_us"][index]
                if name in _NAMES:
                    result[_NAMES[name]][index] = columns["variant"][base]
        if isinstance(found.glu, int):
            result["memory_vs_glu"][index] = 1 - columns["bytes_total"][index] / columns["bytes_total"][found.glu]
        warm = why_not_cold(str(columns["timer"][index])) if columns["mode"][index] == "cold" else ""
        said = plain_notices(len(series[index].samples), warm)
        if columns["rounds_of"][index]:
            said += [*noise_notice(found.latency.relative), *notices(series[index], columns["discarded"][index])]
        result["notices"][index] = "; ".join(notice.words for notice in said)
    _add_shares(columns, layers, reads, series, result)


def _put_ratio(result: Lists, name: str, index: int, over: Estimate, *, interval: bool) -> None:
    result[name][index] = over.value
    if interval and math.isfinite(over.half_width):
        result[f"{name}_low"][index], result[f"{name}_high"][index] = over.low, over.high


def _member(columns: Lists, index: int, series: Series) -> Member:
    group = (columns["nm"][index], columns["mask"][index]) if columns["nm"][index] else None
    return Member(index, role_of(columns["variant"][index], columns["layer"][index]), group, series)


def _add_shares(
    columns: Lists,
    layers: list[int],
    reads: list[int],
    series: dict[int, Series],
    result: Lists,
) -> None:
    """Bytes per second over those of the set's best readers, taken round by round."""
    rates = {i: columns["bytes_total"][i] / latency(series[i]).value for i in reads}
    most = max((columns["bytes_total"][i] for i in reads), default=0)
    shape = [(columns["h"][i], columns["d"][i]) for i in layers[:1]]
    large = [i for i in reads if columns["bytes_total"][i] == most]
    own = [i for i in reads if [(columns["h"][i], columns["d"][i])] == shape]
    for name, readers in (("share_of_ceiling", large), ("share_of_own_read", own)):
        if not readers:
            continue
        best = max(readers, key=rates.__getitem__)
        for index in layers:
            if set(series[best].round_numbers) & set(series[index].round_numbers):
                more = columns["bytes_total"][index] / columns["bytes_total"][best]
                result[name][index] = more * ratio(series[best], series[index]).value
                if name == "share_of_ceiling":
                    result["ceiling_gb_per_s"][index] = rates[best]
