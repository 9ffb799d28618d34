"""Columns that hold a row against others of its comparison set: ratios, shares of what was read, and notices.

All sets of a frame are looked at together; who is held against whom is :func:`mglubench.comparison.bases`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglubench.cases.vocabulary import CEILINGS
from mglubench.comparison import NO_GROUP, bases, role_of
from mglubench.notices import LEAST_SAMPLES
from mglubench.results.byte_columns import setting_numbers
from mglubench.results.notice_column import notice_column
from mglubench.results.reader_shares import reader_shares
from mglubench.results.run_samples import RunSamples
from mglubench.results.turns import Floats, Wholes

if TYPE_CHECKING:
    import pandas as pd

Filled = Floats | list[str | None]
RATIOS = ("vs_glu", "vs_naive", "vs_printed")
NAMES = {"vs_glu": "fastest_glu", "vs_naive": "fastest_naive"}


def set_columns(frame: pd.DataFrame, samples: RunSamples, setting: Sequence[str]) -> dict[str, Filled]:
    """The columns by name, in their order; NaN or ``None`` where there is nothing to say.

    Args:
        setting: axes on which the cases of a comparison agree.
    """
    good = (frame["status"] == "ok").to_numpy() & (samples.sizes > 0)
    ceiling = frame["layer"].isin(CEILINGS).to_numpy()
    layers = np.flatnonzero(good & ~ceiling)
    own = frame.iloc[layers]
    sets = setting_numbers(own, ["set", *setting])
    sides = _sides(own, sets, np.exp(samples.known.middle[layers]))
    bytes_total = frame["bytes_total"].to_numpy(dtype=np.float64)
    over = np.where(sides[0] >= 0, bytes_total[layers[sides[0]]] if len(layers) else 0.0, np.nan)
    found = _Found(len(frame), layers)
    found.put("memory_vs_glu", 1 - bytes_total[layers] / over)
    readers = np.flatnonzero(good & (frame["layer"] == "read").to_numpy() & samples.in_rounds)
    for name, values in reader_shares(frame, samples, layers, readers).items():
        found.put(name, values)
    found.columns["notices"] = notice_column(frame, samples, layers)
    variants = own["variant"].to_numpy(dtype=object)
    for name, side in zip(RATIOS, sides, strict=True):
        there, ratio = _ratios(own, samples, layers, side)
        for end, values in zip(("", "_low", "_high"), ratio, strict=True):
            found.put(f"{name}{end}", values)
        if name in NAMES:
            names: list[str | None] = [None] * len(frame)
            for place, base in zip(layers[there].tolist(), variants[side[there]].tolist(), strict=True):
                names[place] = base
            found.columns[NAMES[name]] = names
    return {name: found.columns[name] for name in _ORDER}


_ORDER = (
    *("fastest_glu", "fastest_naive", "memory_vs_glu", "ceiling_gb_per_s", "share_of_ceiling", "share_of_own_read"),
    "notices",
    *(f"{name}{end}" for name in RATIOS for end in ("", "_low", "_high")),
)


class _Found:
    """Columns of all rows, from values of those that are compared."""

    def __init__(self, count: int, layers: Wholes) -> None:
        self._count, self._layers = count, layers
        self.columns: dict[str, Filled] = {}

    def put(self, name: str, values: Floats) -> None:
        column = np.full(self._count, np.nan)
        column[self._layers] = values
        self.columns[name] = column


def _sides(own: pd.DataFrame, sets: Wholes, latencies: Floats) -> tuple[Wholes, Wholes, Wholes]:
    """The places of the three baselines of every layer."""
    kinds = setting_numbers(own, ["variant", "layer"])
    _, first = np.unique(kinds, return_index=True)
    roles = [role_of(str(one["variant"]), str(one["layer"])) for one in own.iloc[first].to_dict("records")]
    groups = np.where(own["nm"].to_numpy() != 0, setting_numbers(own, ["nm", "mask"]), NO_GROUP)
    return bases([roles[kind] for kind in kinds.tolist()], sets, groups, latencies)


def _ratios(
    own: pd.DataFrame, samples: RunSamples, layers: Wholes, side: Wholes
) -> tuple[Wholes, tuple[Floats, Floats, Floats]]:
    """Which layers have a ratio over that side, and the ratios of all with the ends of their intervals."""
    has_base = np.flatnonzero(side >= 0)
    base, rows = layers[side[has_base]], layers[has_base]
    value, half = samples.ratios(base, rows)
    there = np.isfinite(value)
    enough = np.isfinite(half) & (np.minimum(samples.sizes[base], samples.sizes[rows]) >= LEAST_SAMPLES)
    low, high = (np.where(enough, value * np.exp(sign * half), np.nan) for sign in (-1, 1))
    # As tables of runs that know no rounds always had it: of plain medians.
    plain = own["latency_us"].to_numpy(dtype=np.float64)
    value = np.where(there & ~samples.in_rounds[rows], plain[side[has_base]] / plain[has_base], value)
    columns = [np.full(len(layers), np.nan) for _ in range(3)]
    for column, values in zip(columns, (value, low, high), strict=True):
        column[has_base] = values
    return has_base[there], (columns[0], columns[1], columns[2])
