"""What is derived from measurements: speed-ups with intervals, bytes per weight element, shares of the ceiling.

A speed-up is a ratio within one comparison set, taken round by round (:mod:`mglubench.comparison`): against the fastest
GLU, against the fastest naive layer of the same nm and masks, and against the naive layer as the paper prints it. Its
interval follows the rule of :mod:`mglubench.spread`; samples of one round (runs of schema 1) give a ratio without one.
Only cases whose status is ``ok`` take part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mglubench.cases.axes import SHARED
from mglubench.hardware.devices import devices_in
from mglubench.notices import LEAST_SAMPLES
from mglubench.results.byte_columns import add_ledger
from mglubench.results.ceilings import ceiling_by_device
from mglubench.results.run_samples import RunSamples
from mglubench.results.set_columns import set_columns

if TYPE_CHECKING:
    import pandas as pd

SETTING = list(SHARED)


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
    return derive_from(frame, RunSamples.of_lists(frame["samples_ns"].tolist(), frame["rounds_of"].tolist()))


def derive_from(frame: pd.DataFrame, samples: RunSamples) -> pd.DataFrame:
    """The same for a frame whose samples are at hand as arrays."""
    out = frame.copy()
    # Whatever is taken of a frame copies its attributes.
    out.attrs = {}
    elements = (out["h"] * out["d"]).astype(float)
    out["bits_per_element"] = 8 * out["bytes_total"].astype(float) / elements
    out.loc[out["samples"] < LEAST_SAMPLES, ["latency_low_us", "latency_high_us"]] = np.nan
    for name, values in set_columns(out, samples, SETTING).items():
        out[name] = values
    # What was read alone (a run of before, or a mode that no read was measured in) is held against the device's best.
    out["ceiling_gb_per_s"] = out["ceiling_gb_per_s"].fillna(_read_alone(frame))
    out["share_of_ceiling"] = out["share_of_ceiling"].fillna(out["gb_per_s"].astype(float) / out["ceiling_gb_per_s"])
    add_ledger(out, SETTING, devices_in(frame.attrs["run"]["environment"]) if "run" in frame.attrs else {})
    out.attrs = dict(frame.attrs)
    return out


def _read_alone(frame: pd.DataFrame) -> pd.Series[float]:
    """By row, the best read of its device; of a fleet's rows that of the one that measured them, not of its kind."""
    import pandas as pd

    parts = [rows for _, rows in frame.groupby("worker_uuid", dropna=False)] if "worker_uuid" in frame else [frame]
    return pd.concat([rows["device"].map(ceiling_by_device(rows)).astype(float) for rows in parts])
