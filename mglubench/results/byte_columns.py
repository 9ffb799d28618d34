"""The byte ledger: what the formula says a case moves, beside what the counters say it moved.

Measured bytes are DRAM reads plus DRAM writes of one run. Writes undercount: dirty lines that stay in L2 have not been
written yet when the kernel ends, so the bytes that were written to L2 stand beside them, and the formula's bytes over
the size of L2. Bytes over the median latency cannot exceed what the memory gives; a row that does so by more than 5 %
is marked, because its counters or its time must be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mglubench.hardware.devices import Device
from mglubench.spread import IntArray

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 0.05


def add_ledger(out: pd.DataFrame, setting: Sequence[str], devices: Mapping[str, Device]) -> None:
    """Add the ledger's columns to a frame that has its speed-ups and ceilings; all are NaN where nothing was counted.

    ``dram_bytes`` (read and written), ``dram_over_formula``, ``dram_bits_per_element``, ``dram_gb_per_s`` (over the
    median latency), ``dram_saved_vs_glu`` (share of the fastest GLU's measured bytes saved; both must have counters),
    ``formula_over_l2`` (formula bytes over the size of L2), ``peak_gb_per_s`` (datasheet, else this run's ceiling) and
    ``above_peak`` (true for a row that is not physical).
    """
    out["dram_bytes"] = out["dram_bytes_read"] + out["dram_bytes_written"]
    out["dram_over_formula"] = out["dram_bytes"] / out["bytes_total"]
    out["dram_bits_per_element"] = 8 * out["dram_bytes"] / (out["h"] * out["d"]).astype(float)
    out["dram_gb_per_s"] = out["dram_bytes"] / out["latency_us"] / 1e3
    out["formula_over_l2"] = out["bytes_total"] / _mapped(out, {name: found.l2_size for name, found in devices.items()})
    sold = _mapped(out, {name: found.peak_gb_per_s for name, found in devices.items()})
    out["peak_gb_per_s"] = sold.fillna(out["ceiling_gb_per_s"])
    out["above_peak"] = out["dram_gb_per_s"] > (1 + TOLERANCE) * out["peak_gb_per_s"]
    out["dram_saved_vs_glu"] = 1 - out["dram_bytes"] / _glu_bytes(out, setting)


def _mapped(out: pd.DataFrame, values: dict[str, float | None]) -> pd.Series[float]:
    return out["device"].map(values).astype(float)


def _glu_bytes(out: pd.DataFrame, setting: Sequence[str]) -> pd.Series[float]:
    """Measured bytes of the fastest GLU of each row's setting."""
    import pandas as pd

    of_base = (out["status"] == "ok") & (out["variant"] == out["fastest_glu"])
    codes = setting_numbers(out, setting)
    found = np.full(int(codes.max(initial=-1)) + 1, np.nan)
    found[codes[of_base]] = out["dram_bytes"].to_numpy(dtype=float)[of_base]
    return pd.Series(found[codes], index=out.index)


def setting_numbers(frame: pd.DataFrame, names: Sequence[str]) -> IntArray:
    """Rows that agree in all these columns have one number, from 0 on."""
    import pandas as pd

    codes = np.zeros(len(frame), dtype=np.int64)
    for name in names:
        values, kinds = pd.factorize(frame[name])
        if len(kinds) > 1:
            codes = pd.factorize(codes * (len(kinds) + 1) + values + 1)[0]
    return codes
