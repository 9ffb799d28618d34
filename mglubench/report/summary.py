"""Small tables beside a run's own: its heading, stored runs, variants, verdicts, findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.hardware.cpu import Cpu, thread_words
from mglubench.hardware.devices import Device, devices_in
from mglubench.hardware.doctor import Finding
from mglubench.report.repeat_tables import repeat_lines
from mglubench.report.table import VARIANT, Column, Table, named, number, prose, text
from mglubench.results.checked import Checked, judged
from mglubench.results.runs import summary_of
from mglubench.variants.listing import Offer

if TYPE_CHECKING:
    import pandas as pd


def heading(frame: pd.DataFrame) -> list[str]:
    """Where and with what a run was made, in a few lines."""
    run = frame.attrs["run"]
    environment = run["environment"]
    lines = ["FAKE RUN: these figures come from the fake executor, nothing was measured"] if run.get("fake") else []
    for name, device in devices_in(environment).items():
        lines.append(f"{name}: {_device(device, environment)}")
    lines += [] if run.get("fake") else repeat_lines(list(devices_in(environment).values()))
    lines += run["fleet"]["heading"] if "fleet" in run else []
    packages = environment["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "numba", "triton") if name in packages)
    git = environment.get("git") or {}
    commit = f", commit {git['commit'][:10]}{' (changed)' if git['dirty'] else ''}" if git else ""
    lines.append(f"python {environment['python']}, {versions}; mglubench {packages.get('mglubench', '?')}{commit}")
    isolation = frame["overhead_isolation_s"].median() if "overhead_isolation_s" in frame else None
    if isolation == isolation and isolation is not None:
        lines.append(_overhead(frame))
    return lines


def runs_table(folders: Sequence[Path]) -> Table:
    """One row per stored run; a damaged one is listed with what is wrong."""
    columns = (
        named("run"),
        Column("time", "started (UTC)", text("time"), text=True, spare=2),
        Column("done", "done", lambda row: f"{row['done']}/{row['planned']}" if row["planned"] else "-", spare=1),
        prose("device", spare=3),
        prose("note"),
    )
    return Table("Stored runs", columns, [asdict(summary_of(folder)) for folder in folders])


def variants_table(offered: Sequence[Offer], kind: str) -> Table:
    """Every variant that is offered, and whether it can run on this kind of device here."""
    columns = (
        named("name", "variant"),
        Column("layer", "layer", text("layer"), text=True, spare=2),
        Column("backend", "backend", text("backend"), text=True, spare=4),
        Column("devices", "runs on", text("devices"), text=True, spare=3),
        prose("here", f"on {kind} here"),
        prose("summary", "what it is", spare=1),
    )
    rows = [
        {
            **asdict(offer),
            "devices": ", ".join(offer.devices),
            "dtypes": ", ".join(offer.dtypes),
            "here": offer.why_unavailable or "yes",
            "available": not offer.why_unavailable,
        }
        for offer in offered
    ]
    for row in rows:
        del row["why_unavailable"]
    return Table("Variants", columns, rows)


def verify_tables(verdicts: Sequence[Checked]) -> list[Table]:
    """Per variant and dtype: cases passed and the largest error; then every failure."""
    rows = [
        {**asdict(judgement), "status": "ok" if judgement.result == "right" else judgement.result}
        for judgement in judged(verdicts)
    ]
    columns = (
        VARIANT,
        named("dtype"),
        Column("passed", "passed", lambda row: f"{row['passed']}/{row['cases']}"),
        Column("largest", "largest error", number("largest", ".1e")),
        Column("tolerance", "tolerance", number("tolerance", ".0e")),
        named("result"),
    )
    tables = [Table("Against float64", columns, rows, ["error: ||y - ref|| / ||ref||, the larger of two fresh inputs"])]
    failures = [v for v in verdicts if v.status != "ok"]
    if failures:
        failed = [{"case": v.case.key, "status": v.status, "reason": v.reason} for v in failures]
        tables.append(Table("Not passed", (prose("case"), named("status"), prose("reason")), failed))
    return tables


def doctor_table(findings: Sequence[Finding], able: bool) -> Table:
    """What is here, what is not, how to get it."""
    columns = (named("what"), named("status"), prose("detail"), prose("advice", spare=1))
    rows = [{**finding.to_dict(), "good": finding.status == "ok"} for finding in findings]
    return Table(
        "Doctor", columns, rows, ["the main job can run" if able else "the main job cannot run: see broken above"]
    )


def _device(device: Device, environment: Mapping[str, Mapping[str, object]]) -> str:
    if device.kind == "cpu":
        cpu = Cpu.from_dict(environment.get("cpu"))
        cache = f", {cpu.cache_bytes / 2**20:.0f} MiB last-level cache" if cpu.cache_bytes else ""
        capability = f", {device.cpu_capability}" if device.cpu_capability else ""
        uneven = thread_words(device.torch_threads, device.numba_threads, cpu.cores)
        pages = f", {device.pages} pages" if device.pages else ""
        return f"{device.name}, {cpu.cores_in_words}{capability}{cache}{pages}{'; ' * bool(uneven)}{uneven}"
    driver = f", driver {device.card.driver}" if device.card and device.card.driver else ""
    return f"{device.name}, CUDA {device.cuda}{driver}"


def _overhead(frame: pd.DataFrame) -> str:
    means = {name: frame[f"overhead_{name}_s"].mean() for name in ("prepare", "sampling", "check", "isolation")}
    words = ", ".join(f"{name} {seconds * 1e3:,.0f} ms" for name, seconds in means.items())
    return f"time per case (mean): {words}; isolation is what the worker process costs, none of it is in a sample"
