"""The small tables of a campaign: its steps, targets, and the answers that take more than one cell of a sweep.

All take derived frames (see :func:`mglubench.results.metrics.derive`) by the name of their sweep step.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from mglubench.campaign.definition import Goal, Targets
from mglubench.campaign.outcome import StepState, StepStatus
from mglubench.campaign.unit_rows import ClockedRow
from mglubench.cases.case import Setting
from mglubench.comparison import NAIVE_FAMILY
from mglubench.estimates import ratio as compared
from mglubench.measure.measurement import series_of
from mglubench.report.repeat_tables import figure_row
from mglubench.report.table import NM, VARIANT, Column, Table, named, number, prose, ratio, text
from mglubench.results.metrics import SETTING
from mglubench.results.repeats import Repeats

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
Frames = Mapping[str, "pd.DataFrame"]

MET, MISSED, UNKNOWN = "met", "missed", "not measured"
BULK, PLAIN = "flash-mglu-bulk", "flash-mglu-mma"
WHERE = ["h", "d", "dtype", "activation", "mode", "device", "seed"]
WORDS = {
    "share_of_ceiling": "share of the read ceiling",
    "vs_glu": "x fastest GLU of the run",
    "vs_naive": "x fastest naive MGLU of the same nm",
    "vs_slowest_naive": "x slowest naive MGLU of the same nm",
}


def steps_table(states: Sequence[StepState]) -> Table:
    """Every step of a campaign: done, failed, absent or left, its seconds over all slices, and why."""
    columns = (
        named("step"),
        Column("kind", "kind", text("kind"), text=True, spare=2),
        named("state"),
        Column("seconds", "seconds", number("seconds", ",.1f")),
        prose("reason"),
    )
    rows = [
        {**asdict(state), "state": "done" if state.status == StepStatus.OK else state.status.value} for state in states
    ]
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "failed", "absent", "left")}
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    total = sum(state.seconds for state in states)
    return Table("Steps", columns, rows, [f"{words}; {total:,.0f} s in all; absent: this machine lacks what it needs"])


def targets_table(targets: Targets, frame: pd.DataFrame | None, step: str = "", dtype: str = "") -> Table:
    """Every goal beside the best of the variants that count; a frame of a fake run, or none, measures nothing.

    Args:
        step: that the frame is of; the targets' own if left out. dtype: judged; all together if left out.
    """
    fake = frame is not None and bool(frame.attrs.get("run", {}).get("fake"))
    good = None if frame is None or fake else _judged(targets, frame, dtype)
    rows = [_goal_row(goal, good) for goal in targets.goals]
    own = any(row.get("own") is not None for row in rows)
    columns = (
        named("figure"),
        Column("shape", "h x d", text("shape")),
        NM,
        Column("least", "target", number("least", ".2f")),
        Column("value", "reached", ratio("value")),
        *([Column("own", "of own read", number("own", ".2f"))] if own else []),
        VARIANT,
        prose("verdict"),
    )
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in (MET, MISSED, UNKNOWN)}
    words = ", ".join(word for word in (targets.mode, dtype, f"batch {targets.batch}") if word)
    notes = [
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
        f"from step {step or targets.step}: {words}; the best of {', '.join(targets.variants) or 'all MGLU variants'}",
    ]
    if own:
        notes.append("of own read: the share of the rate at which one matrix of the shape is read, launch and ramp too")
    return Table(f"Targets, {dtype}" if dtype else "Targets", columns, rows, notes, best="met")


def _judged(targets: Targets, frame: pd.DataFrame, dtype: str) -> pd.DataFrame:
    good = frame[(frame["status"] == "ok") & (frame["layer"] == "mglu") & (frame["batch"] == targets.batch)]
    good = good.assign(vs_slowest_naive=_slowest_naive(good) / good["latency_us"])
    for column, wanted in (("mode", targets.mode), ("dtype", dtype)):
        if wanted:
            good = good[good[column] == wanted]
    return good[good["variant"].isin(targets.variants)] if targets.variants else good


def _slowest_naive(rows: pd.DataFrame) -> pd.Series[float]:
    """Microseconds of the slowest naive layer of each row's setting, nm and masks; NaN where there is none."""
    naive = rows["latency_us"].where(rows["variant"].isin(NAIVE_FAMILY))
    return naive.groupby([rows[name] for name in (*SETTING, "nm", "mask")], sort=False, dropna=False).transform("max")


def _goal_row(goal: Goal, good: pd.DataFrame | None) -> Row:
    row: Row = {"figure": WORDS[goal.figure], "shape": f"{goal.h}x{goal.d}", "nm": goal.nm, "least": goal.least}
    row |= {"value": None, "own": None, "variant": "", "verdict": UNKNOWN, "met": False}
    if good is None:
        return row
    cell = good[(good["h"] == goal.h) & (good["d"] == goal.d) & (good["nm"] == goal.nm)]
    cell = cell[cell[goal.figure].notna()]
    if cell.empty:
        return row
    best = cell.sort_values(goal.figure).iloc[-1]
    value = float(best[goal.figure])
    ends = {f"value_{end}": best.get(f"{goal.figure}_{end}") for end in ("low", "high")}
    met = value >= goal.least
    own = best.get("share_of_own_read") if goal.figure == "share_of_ceiling" else None
    return {
        **row,
        "value": value,
        **ends,
        "own": own,
        "variant": best["variant"],
        "verdict": MET if met else MISSED,
        "met": met,
    }


def batch_table(frames: Frames) -> Table | None:
    """The batch size from which the best MGLU is no longer faster than the fastest GLU; ``None`` without batches."""
    rows = [row for name, frame in frames.items() for row in _batch_rows(name, frame)]
    columns = (
        named("run"),
        named("where", "layer"),
        NM,
        Column("first", "from batch", text("first")),
        Column("at_first", "x GLU there", number("at_first", ".2f")),
        Column("smallest", "smallest batch", text("smallest")),
        Column("at_smallest", "x GLU there", number("at_smallest", ".2f")),
        Column("largest", "largest batch", text("largest")),
        Column("at_largest", "x GLU there", number("at_largest", ".2f")),
    )
    notes = ["from batch: the first measured batch at which the best MGLU is not faster than the fastest GLU"]
    return Table("The batch from which the saving vanishes", columns, rows, notes) if rows else None


def _batch_rows(name: str, frame: pd.DataFrame) -> list[Row]:
    good = frame[(frame["status"] == "ok") & (frame["layer"] == "mglu") & frame["vs_glu"].notna()]
    rows: list[Row] = []
    for key, cell in good.groupby([*WHERE, "nm", "mask"], sort=False):
        best = cell.groupby("batch")["vs_glu"].max().sort_index()
        if len(best) < 2:
            continue
        where = dict(zip([*WHERE, "nm", "mask"], key, strict=True))
        over = best[best <= 1.0]
        row: Row = {"run": name, "where": _where(where), "nm": where["nm"]}
        row |= {"first": int(over.index[0]) if len(over) else "none", "at_first": over.iloc[0] if len(over) else None}
        row |= {"smallest": int(best.index[0]), "at_smallest": best.iloc[0]}
        rows.append({**row, "largest": int(best.index[-1]), "at_largest": best.iloc[-1]})
    return rows


def _where(row: Mapping[str, object]) -> str:
    return f"{row['h']}x{row['d']}, {row['dtype']}, {row['mode']} on {row['device']}"


def bulk_summary(frames: Frames) -> Table | None:
    """Bulk copies against plain loads, by run and nm over all settings; ``None`` if both were measured nowhere."""
    groups: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in (row for name, frame in frames.items() for row in _bulk_rows(name, frame)):
        groups.setdefault((row["run"], row["dtype"], row["mode"], row["nm"]), []).append(row)
    columns = (
        named("run"),
        named("dtype"),
        named("mode"),
        NM,
        Column("settings", "settings", text("settings")),
        *(Column(verdict, verdict, text(verdict)) for verdict in ("faster", "same", "slower")),
        Column("middle", "plain / bulk, median", number("middle", ".3f")),
        Column("range", "range", text("range")),
    )
    rows = [_bulk_summary_row(key, group) for key, group in sorted(groups.items())]
    notes = [f"plain: {PLAIN}; bulk: {BULK}; above 1 bulk copies are faster; same: the 95 % interval includes 1"]
    return Table("Bulk copies against plain loads: all runs", columns, rows, notes) if rows else None


def _bulk_summary_row(key: tuple[str, str, str, int], group: Sequence[Row]) -> Row:
    gains = [row["gain"] for row in group]
    row: Row = dict(zip(("run", "dtype", "mode", "nm"), key, strict=True)) | {"settings": len(group)}
    row |= {verdict: sum(one["verdict"] == verdict for one in group) for verdict in ("faster", "same", "slower")}
    return {**row, "middle": float(np.median(gains)), "range": f"{min(gains):.3f} to {max(gains):.3f}"}


def bulk_table(frames: Frames) -> Table | None:
    """Bulk copies against plain loads, cell by cell, wherever both kernels were measured; ``None`` if nowhere."""
    rows = [row for name, frame in frames.items() for row in _bulk_rows(name, frame)]
    columns = (
        named("run"),
        named("setting"),
        NM,
        Column("plain_us", "plain us", number("plain_us", ",.2f")),
        Column("bulk_us", "bulk us", number("bulk_us", ",.2f")),
        Column("gain", "plain / bulk", ratio("gain")),
        prose("verdict", "bulk is"),
    )
    notes = [f"plain: {PLAIN}; bulk: {BULK}; above 1 bulk copies are faster; same: the 95 % interval includes 1"]
    return Table("Bulk copies against plain loads", columns, rows, notes) if rows else None


def _bulk_rows(name: str, frame: pd.DataFrame) -> list[Row]:
    good = frame[(frame["status"] == "ok") & frame["variant"].isin((BULK, PLAIN))].sort_values("nm", kind="stable")
    rows: list[Row] = []
    for _, cell in good.groupby([*SETTING, "nm", "mask"], sort=False):
        found = {str(row["variant"]): row for row in cell.to_dict("records")}
        if len(found) < 2:
            continue
        plain, bulk = found[PLAIN], found[BULK]
        try:
            gain = compared(*(series_of(side["samples_ns"], side["rounds_of"]) for side in (plain, bulk)))
        except ValueError:
            # Of two comparison sets: they have no round in common.
            continue
        row = {"run": name, "setting": _title(plain), **{name: plain[name] for name in ("dtype", "mode", "nm")}}
        row |= {"plain_us": plain["latency_us"], "bulk_us": bulk["latency_us"]}
        row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        rows.append({**row, "verdict": "faster" if gain.low > 1 else "slower" if gain.high < 1 else "same"})
    return rows


def agree_table(frame: pd.DataFrame, clock: Mapping[str, ClockedRow]) -> Table:
    """Our cold medians beside ``do_bench`` and, where the case was profiled, ncu's duration."""
    columns = (
        VARIANT,
        named("setting"),
        NM,
        Column("latency_us", "here us", number("latency_us", ",.2f")),
        Column("do_bench_us", "do_bench us", number("do_bench_us", ",.2f")),
        Column("do_bench_ratio", "do_bench / here", number("do_bench_ratio", ".3f")),
        Column("ncu_duration_us", "ncu us", number("ncu_duration_us", ",.2f")),
        Column("ncu_ratio", "ncu / here", number("ncu_ratio", ".3f")),
        prose("reason"),
    )
    rows: list[Row] = []
    for row in frame[(frame["status"] == "ok") & (frame["mode"] == "cold")].to_dict("records"):
        other = clock.get(str(row["key"]))
        us, ncu = other["do_bench_us"] if other else None, row.get("ncu_duration_us")
        if other is None and (ncu is None or ncu != ncu):
            continue
        shown = {name: row[name] for name in ("variant", "nm", "latency_us")}
        shown |= {"setting": _title(row), "reason": other["reason"] if other else ""}
        shown |= {"do_bench_us": us, "do_bench_ratio": us / row["latency_us"] if us else None}
        rows.append({**shown, "ncu_duration_us": ncu, "ncu_ratio": ncu / row["latency_us"] if ncu else None})
    notes = [
        "do_bench: triton.testing.do_bench, which zeroes a buffer before each launch; events around the launch, median",
        "ncu: sum of kernel durations under the profiler, caches flushed, clocks as they are; gaps between kernels are "
        "not in it",
        *_spread("do_bench", [row["do_bench_ratio"] for row in rows]),
        *_spread("ncu", [row["ncu_ratio"] for row in rows]),
    ]
    return Table("Cold timings beside independent clocks", columns, rows, notes)


def _title(row: Mapping[Hashable, object]) -> str:
    return Setting.of({str(name): value for name, value in row.items()}).title()


def _spread(name: str, ratios: Iterable[float | None]) -> list[str]:
    known = [value for value in ratios if value is not None and value == value]
    if not known:
        return []
    low, middle, high = np.quantile(known, [0.0, 0.5, 1.0])
    return [f"{name} / here: median {middle:.3f}, from {low:.3f} to {high:.3f} over {len(known)} cases"]


def aa_table(repeats: Repeats) -> Table:
    """How often identical code is called different, latencies and ratios, by the statistics of repeats.

    A pair of runs is a false alarm if their figures are further apart than their printed 95 % intervals explain.
    """
    columns = (
        named("name", "case"),
        Column("runs", "repeats", text("runs")),
        Column("deviation", "sd between runs", number("deviation", ".2%")),
        Column("covered", "covered", lambda row: f"{row['covered']} of {row['intervals']}"),
        Column("alarms", "false alarms, all pairs", lambda row: f"{row['alarms']} of {row['pairs']}"),
        Column("rate", "rate", number("rate", ".1%")),
        Column("visible_1", "one run a side sees", number("visible_1", ".2%")),
    )
    rows = [
        {**figure_row(figure), "name": figure.name, "rate": figure.alarms / figure.pairs if figure.pairs else None}
        for figure in (*repeats.latencies, *repeats.ratios)
    ]
    notes = [
        "a false alarm: two runs differ by more than the root of the squares of their 95 % intervals; 5 % is nominal",
        "covered: printed 95 % intervals that hold the median over all repeats",
    ]
    return Table("A/A: false alarms between repeats of the same sweep in fresh sessions", columns, rows, notes)


def rows_table(title: str, rows: Iterable[Mapping[str, object]], columns: Mapping[str, str]) -> Table:
    """Plain rows under the named columns: what a step has written down, as it is."""
    shown = tuple(prose(key, title) for key, title in columns.items())
    return Table(title, shown, list(rows))
