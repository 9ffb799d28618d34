"""Saving a baseline: runs are copied under a name, whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from mglubench.errors import MglubenchError, UsageError
from mglubench.hardware.devices import devices_in
from mglubench.results.baselines import (
    FORMAT,
    MANIFEST,
    Baseline,
    BaselineRun,
    Manifest,
    baselines_folder,
    check_name,
    read_baseline,
)
from mglubench.results.header import Header
from mglubench.results.store import COUNTERS, HEADER, ROWS, read_header, read_rows
from mglubench.system.files import open_file, publish
from mglubench.system.lines import reason_of

KEPT = (HEADER, ROWS, COUNTERS)


def save_baseline(
    name: str,
    runs: Sequence[Path],
    where: Path | None = None,
    *,
    commit: str = "",
    note: str = "",
    force: bool = False,
) -> Baseline:
    """Copy runs into a baseline of this name: headers, rows with all samples, counters.

    Args:
        where: folder of the baselines. commit: what the runs measured; without one, what their headers agree on.
        force: whether a baseline of this name may be replaced, which happens by one rename.

    Raises:
        UsageError: a name that is none or is taken, a run twice, one without a finished case, a folder that cannot be
            written. StoreError: a run is damaged, or from a newer version.
    """
    check_name(name)
    folder = (where or baselines_folder()) / name
    before = _runs_before(folder, force)
    if not runs:
        raise UsageError("a baseline needs a run; name one, or several of the same sweep")
    resolved = [run.resolve() for run in runs]
    if twice := [run for run in resolved if resolved.count(run) > 1]:
        raise UsageError(f"{twice[0]} is given twice; a run says nothing about itself")
    known = sorted(((run, read_header(run)) for run in runs), key=lambda found: found[1]["environment"]["time"])
    token = secrets.token_hex(4)
    kept = tuple(_run_of(run, header, f"{place:02d}-{token}") for place, (run, header) in enumerate(known, 1))
    commits = {run.commit for run in kept}
    manifest = Manifest(
        format=FORMAT,
        name=name,
        saved=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=kept,
        commit=commit or (commits.pop() if len(commits) == 1 else ""),
        note=note,
    )
    try:
        _write(folder, manifest, [run for run, _ in known])
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {reason_of(error)}; choose another folder") from None
    for old in before:
        shutil.rmtree(folder / old, ignore_errors=True)
    return Baseline(folder, manifest)


def _runs_before(folder: Path, force: bool) -> list[str]:
    """Runs of the baseline that will be replaced; what cannot be read is left where it lies."""
    if not (folder / MANIFEST).exists():
        if folder.exists() and (not folder.is_dir() or (folder / HEADER).exists()):
            raise UsageError(f"{folder} is something else than a baseline; choose another name")
        return []
    if not force:
        raise UsageError(f"there is a baseline {folder.name!r} in {folder.parent} already; --force replaces it")
    with suppress(MglubenchError):
        return [run.folder for run in read_baseline(folder).manifest.runs]
    return []


def _run_of(run: Path, header: Header, folder: str) -> BaselineRun:
    rows = sum(1 for _ in read_rows(run))
    if not rows:
        raise UsageError(f"{run} has no finished case; continue it with --resume, or leave it out")
    environment = header["environment"]
    git = environment.get("git")
    return BaselineRun(
        folder=folder,
        time=environment["time"],
        commit=f"{git['commit']}{'+' * bool(git['dirty'])}" if git else "",
        devices=tuple(device.name for device in devices_in(environment).values()),
        rows=rows,
        planned=max(0, header["cases"]),
        fake=bool(header.get("fake")),
    )


def _write(folder: Path, manifest: Manifest, runs: Sequence[Path]) -> None:
    """Copy the runs, then publish the manifest; after a failure nothing of it is left."""
    was_there = folder.exists()
    made: list[Path] = []
    try:
        for run, kept in zip(runs, manifest.runs, strict=True):
            made.append(folder / kept.folder)
            made[-1].mkdir(parents=True)
            for name in KEPT:
                if (run / name).is_file():
                    _copy(run / name, made[-1] / name)
        publish(folder / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
    except BaseException:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)
        if not was_there:
            with suppress(OSError):
                folder.rmdir()
        raise


def _copy(source: Path, target: Path) -> None:
    """A copy that is on the disk when this returns."""
    with open_file(source) as read, target.open("wb") as written:
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
