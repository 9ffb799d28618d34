"""The memory table of a setting whose cases were counted: formula and measured bytes side by side."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.cases.case import Setting
from mglubench.report.table import NM, VARIANT, Column, Formatter, Row, Table, figure, missing, number, prose

FORMULA_MARK = " f"


def or_formula(measured: str, formula: str, pattern: str) -> Formatter:
    """The measured value, else the formula's with a mark."""

    def show(row: Row) -> str:
        counted, declared = figure(row, measured), figure(row, formula)
        if counted is not None:
            return format(counted, pattern)
        return "-" if declared is None else format(declared, pattern) + FORMULA_MARK

    return show


LEDGER = (
    VARIANT,
    NM,
    Column("bytes_total", "formula MB", number("bytes_total", ",.2f", 1e-6), spare=4),
    Column("dram_bytes", "DRAM MB", number("dram_bytes", ",.2f", 1e-6), spare=1),
    Column("dram_over_formula", "DRAM/formula", number("dram_over_formula", ".3f")),
    Column("dram_bits_per_element", "bits/weight", or_formula("dram_bits_per_element", "bits_per_element", ".1f")),
    Column("dram_saved_vs_glu", "saved vs GLU", or_formula("dram_saved_vs_glu", "memory_vs_glu", "+.1%"), spare=2),
    Column("dram_bytes_written", "DRAM written MB", number("dram_bytes_written", ",.3f", 1e-6), spare=8),
    Column("l2_bytes_written", "L2 written MB", number("l2_bytes_written", ",.3f", 1e-6), spare=8),
    Column("formula_over_l2", "formula/L2", number("formula_over_l2", ".1f"), spare=9),
    Column("dram_gb_per_s", "GB/s", number("dram_gb_per_s", ",.1f")),
    Column("share_of_peak", "of peak", number("share_of_peak", ".0%"), spare=3),
    prose("verdict"),
)
_VALUES = (
    *("variant", "nm", "mask", "status", "bytes_total", "bits_per_element", "memory_vs_glu", "counters_reason"),
    *("dram_bytes", "dram_bytes_read", "dram_bytes_written", "l2_bytes_read", "l2_bytes_written", "formula_over_l2"),
    *("dram_over_formula", "dram_bits_per_element", "dram_saved_vs_glu", "dram_gb_per_s", "peak_gb_per_s"),
)


def counted(rows: Sequence[Row]) -> bool:
    """Whether any of these cases has measured bytes."""
    return any(not missing(row.get("dram_bytes")) for row in rows)


def ledger_table(setting: Setting, rows: Sequence[Row]) -> Table:
    """One line per case, in the given order; the least measured bytes of a valid MGLU case are marked best."""
    valid = (figure(row, "dram_bytes") for row in rows if row["layer"] == "mglu" and _valid(row))
    least = min((moved for moved in valid if moved is not None), default=None)
    shown = [
        {
            **{name: row.get(name) for name in _VALUES},
            "share_of_peak": _share(figure(row, "dram_gb_per_s"), figure(row, "peak_gb_per_s")),
            "verdict": _verdict(row),
            "best": row["layer"] == "mglu" and row["dram_bytes"] == least and _valid(row),
        }
        for row in rows
    ]
    return Table(f"Memory: {setting.title()}", LEDGER, shown, _notes(setting, rows), best="best")


def _share(rate: float | None, peak: float | None) -> float | None:
    return rate / peak if rate is not None and peak else None


def _valid(row: Row) -> bool:
    return not row.get("above_peak")


def _verdict(row: Row) -> str:
    if not _valid(row):
        return "INVALID: above the peak"
    figures = ("dram_bytes_read", "dram_bytes_written", "l2_bytes_written")
    if not any(missing(row.get(name)) for name in figures) or not row["counters_reason"]:
        return ""
    lacks = "no counters" if all(missing(row.get(name)) for name in figures) else "partial"
    return f"{lacks}: {row['counters_reason']}"


def _notes(setting: Setting, rows: Sequence[Row]) -> list[str]:
    flushed = "warm, as hot cases are" if setting.mode == "hot" else "flushed before every kernel"
    notes = [
        f"DRAM: bytes read and written by one run, counted by ncu with caches {flushed}; formula: every operand once",
        "DRAM writes undercount (dirty lines stay in L2): bytes written to L2 stand beside them",
    ]
    both = [row for row in rows if not missing(row.get("dram_saved_vs_glu"))]
    base = next((row["fastest_glu"] for row in rows if not missing(row.get("fastest_glu"))), None)
    if both:
        notes.append(f"saved vs GLU: measured bytes of the row and of {base}")
    if len(both) < len(rows):
        notes.append("f: from the formula, because the row or the fastest GLU has no counters")
    peak = next((found for row in rows if (found := figure(row, "peak_gb_per_s")) is not None), None)
    if peak is not None:
        notes.append(
            f"GB/s: DRAM bytes over the median latency; peak: {peak:,.0f} GB/s; more than 5 % above is invalid"
        )
    return notes
