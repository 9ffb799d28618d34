"""Tables of baselines: which there are, what one holds, and how every case went from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mglubench.report.table import NM, VARIANT, Column, Row, Table, amount, named, number, prose, text
from mglubench.results.baseline_latencies import CaseLatency
from mglubench.results.baselines import Baseline
from mglubench.results.history import CaseHistory

BARS = "▁▂▃▄▅▆▇█"
# Points of a sparkline, and the least span that fills its height: noise must not look like a mountain.
SPARK, SPAN = 16, 0.10
# Characters of a commit or of a name.
SHORT = 10


def baselines_table(found: Sequence[Baseline], damaged: Mapping[Path, str]) -> Table:
    """One row per baseline, damaged ones last."""
    columns = (
        named("name", "baseline"),
        Column("time", "measured (UTC)", lambda row: str(row["time"] or "")[:16], text=True, spare=2),
        Column("commit", "commit", lambda row: short_commit(str(row["commit"] or "")), text=True, spare=3),
        Column("runs", "runs", text("runs")),
        Column("cases", "cases", text("cases")),
        Column("devices", "device", lambda row: ", ".join(map(str, _items(row, "devices"))), text=True),
        prose("note", spare=4),
    )
    rows: list[dict[str, object]] = [_summary(baseline) for baseline in found]
    nothing = {"time": "", "commit": "", "runs": "", "cases": "", "devices": []}
    rows += [{"name": path.name, **nothing, "note": f"unreadable: {why}"} for path, why in damaged.items()]
    return Table("Baselines", columns, rows)


def baseline_heading(baseline: Baseline) -> list[str]:
    """What a baseline is, in a few lines."""
    manifest = baseline.manifest
    fake = ["FAKE RUNS: nothing was measured"] if any(run.fake for run in manifest.runs) else []
    commit = f", commit {manifest.commit}" if manifest.commit else ""
    return [*fake, f"{baseline.folder}: saved {manifest.saved}{commit}", *([manifest.note] if manifest.note else [])]


def runs_of_baseline_table(baseline: Baseline) -> Table:
    """One row per run."""
    columns = (
        named("folder", "run"),
        Column("time", "started (UTC)", lambda row: str(row["time"])[:19], text=True, spare=2),
        Column("rows", "cases", lambda row: f"{row['rows']}/{row['planned']}"),
        Column("commit", "commit", lambda row: short_commit(str(row["commit"])), text=True, spare=3),
        Column("devices", "device", lambda row: ", ".join(map(str, _items(row, "devices"))), text=True),
    )
    rows = [{**asdict(run), "devices": list(run.devices)} for run in baseline.manifest.runs]
    return Table("Runs", columns, rows)


def cases_table(latencies: Mapping[str, CaseLatency]) -> Table:
    """One row per case."""
    columns = (
        named("key", "case"),
        Column("latency_us", "latency us", number("latency_us", ",.1f"), spare=0),
        Column("deviation", "sd %", number("deviation", ".2f", 100)),
        Column("runs", "runs", text("runs")),
    )
    rows = [
        {"key": key, "latency_us": one.latency_us, "deviation": one.deviation, "runs": one.runs}
        for key, one in latencies.items()
    ]
    return Table("Latencies", columns, rows, ["median over runs; sd: between runs"])


def history_tables(found: Sequence[CaseHistory]) -> list[Table]:
    """One line per case with a sparkline and its last change, a table for each setting and device; 80 columns wide."""
    groups: dict[str, list[CaseHistory]] = {}
    for history in found:
        title = f"{history.case.setting.title()}: {', '.join(history.devices)}"
        groups.setdefault(title, []).append(history)
    return [Table(title, _HISTORY, [_line(one) for one in own], HISTORY_NOTES) for title, own in groups.items()]


def history_row(history: CaseHistory) -> dict[str, object]:
    """A history as plain values, for JSON."""
    return {
        "key": history.case.key,
        "variant": history.case.variant,
        "nm": history.case.nm,
        "devices": list(history.devices),
        "points": [asdict(point) for point in history.points],
        "changes": [
            {
                "baseline": change.at.baseline,
                "time": change.at.time,
                "commit": change.at.commit,
                "before_us": change.before_us,
                "after_us": change.after_us,
                "change": change.change,
            }
            for change in history.changes
        ],
        "outliers": list(history.outliers),
        "last": history.last,
        "deviation": history.deviation,
    }


def sparkline(values: Sequence[float]) -> str:
    """The last values as bars, from the least to the largest of them."""
    shown = list(values)[-SPARK:]
    low, high = min(shown), max(shown)
    spare = max(0.0, low * SPAN - (high - low))
    low, high = low - spare / 2, high + spare / 2
    return "".join(BARS[min(len(BARS) - 1, int((value - low) / (high - low) * len(BARS)))] for value in shown)


def short_commit(commit: str) -> str:
    """A commit's first characters, with the mark of a changed checkout."""
    return commit[:SHORT] + "+" * (commit.endswith("+") and len(commit) > SHORT)


def _summary(baseline: Baseline) -> dict[str, object]:
    manifest = baseline.manifest
    fake = "fake; " * any(run.fake for run in manifest.runs)
    return {
        "name": baseline.name,
        "time": baseline.time,
        "commit": manifest.commit,
        "runs": len(manifest.runs),
        "cases": max(run.rows for run in manifest.runs),
        "devices": list(dict.fromkeys(name for run in manifest.runs for name in run.devices)),
        "note": (fake + manifest.note).removesuffix("; "),
    }


def _line(history: CaseHistory) -> dict[str, object]:
    row = history_row(history)
    values = [point.latency_us for point in history.points]
    changed = ""
    if history.changes:
        change = history.changes[-1]
        more = f" (of {len(history.changes)})" if len(history.changes) > 1 else ""
        changed = f"{change.change:+.1%} at {short_commit(change.at.commit) or change.at.baseline[:SHORT]}{more}"
    elif history.last is not None:
        changed = f"last alone {history.last:+.1%}"
    return {**row, "line": sparkline(values), "latency_us": values[-1], "changed": changed}


def _items(row: Row, key: str) -> Sequence[object]:
    value = row.get(key)
    return value if isinstance(value, list | tuple) else ()


HISTORY_NOTES = (
    f"bars: latency, the last {SPARK} baselines, oldest first; us: of the last",
    "changed: where the level last changed (more is slower); what the last baseline",
    "alone shows is told apart, and one that comes back at once is no change",
)
_HISTORY = (
    VARIANT,
    NM,
    Column("line", "history", text("line"), text=True, spare=1),
    Column("latency_us", "us", lambda row: f"{amount(row, 'latency_us'):,.1f}", spare=0),
    prose("changed"),
)
