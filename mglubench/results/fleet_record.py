"""What a fleet did beside its rows: ``RUN/fleet.jsonl``, a line for whatever happened, and what follows for readers.

A line has a word for what (``joined``, ``refused``, ``failed``, ``left out``, ``taken back``, ``reference``,
``unplaced``) and what there is to know. The lines ``reference`` are of one case that every device measured alone and
with all others busy, before the sets and after them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mglubench.results.header import FleetWords
from mglubench.system.lines import Lines, decoded

FLEET = "fleet.jsonl"
# More than this between devices of one kind is told under every table.
SPREAD = 0.03

Fact = int | float | str
Line = dict[str, Fact]


class FleetRecord:
    """Keeps what happens, in order, until there is a folder for it, and from then on in its file."""

    def __init__(self) -> None:
        self._early: list[Line] = []
        self._lines: Lines | None = None

    def add(self, what: str, known: Mapping[str, Fact]) -> None:
        """One more line."""
        line: Line = {"what": what, "time": datetime.now(UTC).isoformat(timespec="seconds"), **known}
        if self._lines is None:
            self._early.append(line)
        else:
            self._lines.append(line)

    @contextmanager
    def kept_in(self, folder: Path) -> Iterator[None]:
        """Write to the run in this folder, whose lock is held.

        Raises:
            StoreError: a line could not be written.
        """
        lines = Lines(folder / FLEET)
        lines.open()
        try:
            for line in self._early:
                lines.append(line)
            self._early, self._lines = [], lines
            yield
        finally:
            self._lines = None
            lines.close()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What devices of one kind made of the same case.

    Attributes:
        kind: of them. devices: how many. alone, busy: largest over least latency, less one, of each by itself and of
            all at the same time; the larger of before and after. slower: how much slower a device is at most while the
            others are busy than alone.
    """

    kind: str
    devices: int
    alone: float
    busy: float
    slower: float

    def words(self) -> str:
        """For a heading or a footnote."""
        if self.devices < 2:
            return f"{self.kind}: one device"
        return (
            f"{self.devices} devices of kind {self.kind} differ by {self.alone:.1%} alone and by {self.busy:.1%} with "
            f"all busy on one case; busy neighbours slow one by {self.slower:.1%} at most"
        )


def read_fleet(folder: Path) -> list[Line]:
    """The lines of a run; none where no fleet measured."""
    return list(decoded(folder / FLEET, lambda line: msgspec.json.decode(line, type=Line)))


def neighbours(lines: Iterable[Line]) -> list[Neighbours]:
    """By kind, what the lines ``reference`` say."""
    by_kind: dict[str, dict[tuple[Fact, Fact], dict[str, float]]] = {}
    for line in lines:
        if line["what"] == "reference":
            phase = by_kind.setdefault(str(line["kind"]), {}).setdefault((line["how"], line["when"]), {})
            phase[str(line["uuid"])] = float(line["latency_us"])
    return [_told(kind, phases) for kind, phases in by_kind.items()]


def fleet_words(folder: Path) -> FleetWords | None:
    """What a reader must know of the fleet that measured a run; ``None`` where none did."""
    lines = read_fleet(folder)
    if not lines:
        return None
    kinds = Counter(
        str(kind) for _, kind in {(line["uuid"], line["kind"]) for line in lines if line["what"] == "joined"}
    )
    told = [one for one in neighbours(lines) if one.devices > 1]
    devices = ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
    heading = [f"fleet: {devices}; a set is measured on one device, and no ratio crosses two"]
    notes = [
        f"{one.words()}: figures of different devices are not alike to within {SPREAD:.0%}"
        for one in told
        if max(one.alone, one.busy, one.slower) > SPREAD
    ]
    out: dict[str, None] = {}
    for line in lines:
        if line["what"] == "left out":
            out[str(line["uuid"])] = None
        elif line["what"] == "taken back":
            out.pop(str(line["uuid"]), None)
    notes += [f"left out after two failures: {', '.join(out)}"] if out else []
    return {"heading": [*heading, *(one.words() for one in told)], "notes": notes}


def _told(kind: str, phases: Mapping[tuple[Fact, Fact], Mapping[str, float]]) -> Neighbours:
    spreads = {"alone": 0.0, "busy": 0.0}
    for (how, _), found in phases.items():
        spreads[str(how)] = max(spreads[str(how)], max(found.values()) / min(found.values()) - 1)
    slower = [
        busy / alone - 1
        for (how, when), found in phases.items()
        if how == "busy"
        for uuid, busy in found.items()
        if (alone := phases.get(("alone", when), {}).get(uuid))
    ]
    devices = {uuid for found in phases.values() for uuid in found}
    return Neighbours(kind, len(devices), spreads["alone"], spreads["busy"], max(slower, default=0.0))


def line_words(line: Line) -> str:
    """What happened, as one line."""
    device = line.get("uuid", "")
    if line["what"] == "joined":
        return f"{line['host']}: {line['kind']}, {device}, {line['health']}"
    if line["what"] == "failed":
        then = "; its set is placed again" if line.get("again") else ""
        return f"{line['host']}, {device} failed: {line['why']}{then}"
    if line["what"] == "left out":
        return f"{device} has failed twice and gets nothing any more"
    if line["what"] == "taken back":
        return f"{device} takes part again: what failed there fails elsewhere, too"
    if line["what"] == "unplaced":
        return f"no worker is left for {line['sets']} sets; continue with --resume"
    return f"{line['what']}: {line.get('why', device)}"
