"""Bytes per second of layers over those of the best readers of their set, taken round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mglubench.results.run_samples import RunSamples
from mglubench.results.turns import Floats, Wholes

if TYPE_CHECKING:
    import pandas as pd


def reader_shares(frame: pd.DataFrame, samples: RunSamples, layers: Wholes, readers: Wholes) -> dict[str, Floats]:
    """Columns of the layers: ``share_of_ceiling``, ``share_of_own_read`` and ``ceiling_gb_per_s``.

    The ceiling is the fastest reader of the largest buffer of the set; a layer's own read is the fastest of its shape.
    """
    bytes_total = frame["bytes_total"].to_numpy(dtype=np.float64)
    rates = bytes_total / np.exp(samples.known.middle)
    gap = np.full(len(layers), np.nan)
    found = {"share_of_ceiling": gap, "share_of_own_read": gap.copy(), "ceiling_gb_per_s": gap.copy()}
    if not len(readers):
        return found
    numbers, h, d = (frame[name].tolist() for name in ("set", "h", "d"))
    of_set: dict[object, list[int]] = {}
    for reader in readers.tolist():
        of_set.setdefault(numbers[reader], []).append(reader)
    best: dict[str, dict[object, int]] = {"share_of_ceiling": {}, "share_of_own_read": {}}
    for number, own in of_set.items():
        most = max(bytes_total[reader] for reader in own)
        best["share_of_ceiling"][number] = max((r for r in own if bytes_total[r] == most), key=rates.__getitem__)
        for reader in sorted(own, key=rates.__getitem__, reverse=True):
            best["share_of_own_read"].setdefault((number, h[reader], d[reader]), reader)
    keys: dict[str, list[object]] = {
        "share_of_ceiling": [numbers[row] for row in layers.tolist()],
        "share_of_own_read": [(numbers[row], h[row], d[row]) for row in layers.tolist()],
    }
    for name, of_layers in keys.items():
        reader_of = np.array([best[name].get(key, -1) for key in of_layers], dtype=np.int64)
        has = np.flatnonzero(reader_of >= 0)
        value, _ = samples.ratios(reader_of[has], layers[has])
        found[name][has] = bytes_total[layers[has]] / bytes_total[reader_of[has]] * value
        if name == "share_of_ceiling":
            found["ceiling_gb_per_s"][has] = np.where(np.isnan(value), np.nan, rates[reader_of[has]])
    return found
