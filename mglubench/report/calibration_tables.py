"""How often verdicts on identical code are false, ours and those of other tools' rules."""

from __future__ import annotations

from dataclasses import asdict

from mglubench.report.table import Column, Row, Table, amount, missing, named, number
from mglubench.results.calibrate import OURS, OURS_ALONE, Calibration, Rate


def calibration_tables(found: Calibration) -> list[Table]:
    """One table: a row for each rule and number of runs a side."""
    columns = (
        named("rule"),
        Column("runs", "runs a side", number("runs", ".0f")),
        Column("jobs", "jobs", number("jobs", ",.0f")),
        Column("of_jobs", "alarm %", _share, spare=0),
        Column("of_figures", "slower %", number("of_figures", ".2f", 100)),
        Column("same", "same %", _same),
        Column("visible", "sees %", number("visible", ".1f", 100)),
    )
    notes = [
        f"{found.runs} runs of identical code, {found.cases} cases; every row compares them with each other",
        "alarm: comparisons that call any case slower; [ ]: 95 % interval, as if splits of the same runs were "
        "independent, which they are not",
        "slower: figures (cases, for other rules) called so; same: called the same, the rest is unclear",
        "sees: the smallest change that is seen in four of five cases, median",
        "other rules: as published, the samples of a side put together",
    ]
    return [Table("Identical code against itself", columns, [rate_row(rate) for rate in found.rates], notes, "ours")]


def rate_row(rate: Rate) -> dict[str, object]:
    """A rate as plain values."""
    low, high = rate.interval
    return {
        **asdict(rate),
        "of_jobs": rate.of_jobs,
        "of_jobs_low": low,
        "of_jobs_high": high,
        "of_figures": rate.of_figures,
        "ours": rate.rule in (OURS, OURS_ALONE),
    }


def calibration_json(found: Calibration) -> dict[str, object]:
    """The same as one JSON document."""
    rates = [rate_row(rate) for rate in found.rates]
    return {"runs": found.runs, "cases": found.cases, "alarms": found.alarms, "rates": rates}


def _share(row: Row) -> str:
    value, low, high = (100 * amount(row, f"of_jobs{end}") for end in ("", "_low", "_high"))
    return f"{value:.1f} [{low:.0f}, {high:.0f}]"


def _same(row: Row) -> str:
    return "-" if missing(row["same"]) else f"{100 * amount(row, 'same') / max(1.0, amount(row, 'figures')):.0f}"
