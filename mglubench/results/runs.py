"""What is stored: one summary a run, of a damaged one what is wrong with it; the runs of a folder of repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mglubench.errors import MglubenchError
from mglubench.hardware.devices import devices_in
from mglubench.results.store import HEADER, read_header, read_rows


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A stored run: when it began (UTC), how many of its planned cases are done, on what, and what is to be said."""

    run: str
    time: str = ""
    done: int = 0
    planned: int = 0
    device: str = ""
    note: str = ""


def summary_of(folder: Path) -> RunSummary:
    """A run's summary; never fails."""
    found = RunSummary(str(folder))
    try:
        header = read_header(folder)
        environment = header["environment"]
        note = "fake" if header.get("fake") else ""
        found = replace(found, time=environment["time"][:19], planned=header["cases"], note=note)
        found = replace(found, device=", ".join(device.name for device in devices_in(environment).values()))
        return replace(found, done=sum(1 for _ in read_rows(folder)))
    except (MglubenchError, KeyError, TypeError) as error:
        return replace(found, note=f"unreadable: {error}")


def numbered_runs(folder: Path) -> list[Path]:
    """The runs of a folder of repeats, 01, 02, ...; none if it is a run itself, or holds no repeats."""
    if (folder / HEADER).exists() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdigit() and (path / HEADER).exists())
