"""What is derived from measurements: speed-ups with intervals, bytes per weight element, shares of the ceiling.

A speed-up is a ratio of medians from one run, one setting (shape, batch, dtype, activation, mode, device): against
``mglu-naive`` of the same nm and masks, and against the fastest GLU variant of the setting. Its interval is a bootstrap
of both medians. Only cases whose status is ``ok`` take part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mglubench.cases.axes import SHARED
from mglubench.cases.vocabulary import CEILINGS
from mglubench.results.byte_columns import add_ledger
from mglubench.results.ceilings import ceiling_by_device
from mglubench.stats import FloatArray, bootstrap_medians, interval

if TYPE_CHECKING:
    import pandas as pd

SETTING = list(SHARED)
NAIVE = "mglu-naive"
MANY_ROWS = 5000
RESAMPLES, RESAMPLES_MANY = 1000, 200


def derive(frame: pd.DataFrame) -> pd.DataFrame:
    """Add derived columns to a frame that was loaded with ``samples=True``.

    Adds ``fastest_glu`` (a name), ``vs_glu``, ``vs_glu_low``, ``vs_glu_high``, ``vs_naive``, ``vs_naive_low``,
    ``vs_naive_high`` (speed-ups), ``bits_per_element``, ``memory_vs_glu`` (share of the fastest GLU's bytes saved,
    negative if more is moved), ``ceiling_gb_per_s`` and ``share_of_ceiling``; and the byte ledger's columns (see
    :func:`~mglubench.results.byte_columns.add_ledger`).
    """
    out = frame.copy()
    out.attrs = dict(frame.attrs)
    elements = (out["h"] * out["d"]).astype(float)
    out["bits_per_element"] = 8 * out["bytes_total"].astype(float) / elements
    ceilings = ceiling_by_device(out)
    out["ceiling_gb_per_s"] = out["device"].map(ceilings).astype(float)
    out["share_of_ceiling"] = out["gb_per_s"].astype(float) / out["ceiling_gb_per_s"]
    _add_speedups(out)
    add_ledger(out, SETTING)
    return out


def _add_speedups(out: pd.DataFrame) -> None:
    columns = _columns(out)
    count = len(out)
    rng = np.random.default_rng(0)
    resamples = RESAMPLES_MANY if count > MANY_ROWS else RESAMPLES
    draws: dict[tuple[str, int], FloatArray] = {}

    def drawn(role: str, index: int) -> FloatArray:
        # Numerator and denominator need draws of their own, or a case compared with itself would have no noise.
        key = (role, index)
        if key not in draws:
            draws[key] = bootstrap_medians(columns["samples_ns"][index], rng, resamples)
        return draws[key]

    result: dict[str, list[Any]] = {name: [None] * count for name in _SPEEDUP_COLUMNS}
    for members in _groups(columns, count):
        reference = _references(columns, members)
        for index in members:
            for name, base in (
                ("vs_glu", reference["glu"]),
                ("vs_naive", reference["naive"].get(_mask_key(columns, index))),
            ):
                if base is None:
                    continue
                ratio = columns["latency_us"][base] / columns["latency_us"][index]
                low, high = (1.0, 1.0) if base == index else interval(drawn("base", base) / drawn("own", index))
                result[name][index], result[f"{name}_low"][index], result[f"{name}_high"][index] = ratio, low, high
            if reference["glu"] is not None:
                base_bytes = columns["bytes_total"][reference["glu"]]
                result["fastest_glu"][index] = columns["variant"][reference["glu"]]
                result["memory_vs_glu"][index] = 1 - columns["bytes_total"][index] / base_bytes
        draws.clear()
    for name, values in result.items():
        out[name] = values if name == "fastest_glu" else np.array([np.nan if v is None else v for v in values], float)


_SPEEDUP_COLUMNS = (
    "fastest_glu",
    "memory_vs_glu",
    *(f"{name}{end}" for name in ("vs_glu", "vs_naive") for end in ("", "_low", "_high")),
)


def _columns(out: pd.DataFrame) -> dict[str, list[Any]]:
    wanted = [*SETTING, "variant", "layer", "status", "nm", "mask", "latency_us", "bytes_total", "samples_ns"]
    return {name: out[name].tolist() for name in wanted}


def _groups(columns: dict[str, list[Any]], count: int) -> list[list[int]]:
    """Indices of ok cases by setting; ceilings take no part."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index in range(count):
        if columns["status"][index] == "ok" and columns["layer"][index] not in CEILINGS:
            groups.setdefault(tuple(columns[name][index] for name in SETTING), []).append(index)
    return list(groups.values())


def _references(columns: dict[str, list[Any]], members: list[int]) -> dict[str, Any]:
    glus = [index for index in members if columns["layer"][index] == "glu"]
    naive = {_mask_key(columns, i): i for i in members if columns["variant"][i] == NAIVE}
    return {"glu": min(glus, key=lambda index: columns["latency_us"][index], default=None), "naive": naive}


def _mask_key(columns: dict[str, list[Any]], index: int) -> tuple[Any, Any]:
    return columns["nm"][index], columns["mask"][index]
