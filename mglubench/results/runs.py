"""What is stored: one summary a run, of a damaged one what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mglubench.errors import MglubenchError
from mglubench.hardware.devices import devices_in
from mglubench.results.store import read_header, read_rows


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
