"""Derived frames of runs that never were, with a spread that is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

SETTING = {
    "h": 64,
    "d": 96,
    "batch": 1,
    "dtype": "float32",
    "activation": "silu",
    "mode": "cold",
    "device": "cpu",
    "seed": 0,
}


def derived(*cases: dict[str, Any]) -> pd.DataFrame:
    """A frame with these cases, of which what is not said is missing."""
    plain = {"status": "ok", "layer": "mglu", "nm": 1, "mask": "bernoulli:0.5", **SETTING}
    names = ("vs_glu", "vs_naive", "vs_printed")
    gaps: dict[str, Any] = {f"{name}{end}": np.nan for name in names for end in ("", "_low", "_high")}
    gaps |= {"fastest_glu": None, "fastest_naive": None}
    rows = [{**plain, **gaps, **case} for case in cases]
    return pd.DataFrame(
        [{"key": f"{row['variant']}/nm{row['nm']}/{row['mode']}/{row['device']}", **row} for row in rows]
    )


def around(name: str, value: float, half: float) -> dict[str, float]:
    """A figure's columns: its value, and an interval of this half width (log)."""
    low, high = ("latency_low_us", "latency_high_us") if name == "latency_us" else (f"{name}_low", f"{name}_high")
    return {name: value, low: value * float(np.exp(-half)), high: value * float(np.exp(half))}


def noisy_runs(runs: int, deviation: float, half: float, seed: int = 0, cases: int = 1) -> list[pd.DataFrame]:
    """Runs whose ratio and latency of every case differ by a normal deviation (log)."""
    rng = np.random.default_rng(seed)

    def one(number: int) -> dict[str, Any]:
        by = np.exp(rng.normal(0, deviation, 2))
        ratio = {**around("vs_glu", 1.5 * by[0], half), "fastest_glu": "swiglu"}
        return {"variant": f"v{number}", **around("latency_us", 1000 * by[1], half), **ratio}

    return [derived(*(one(number) for number in range(cases))) for _ in range(runs)]
