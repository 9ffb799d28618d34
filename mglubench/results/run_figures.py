"""What one run says of each of its cases, ready to be held against another run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import CEILINGS
from mglubench.errors import StoreError
from mglubench.hardware.devices import Device, devices_in
from mglubench.results.companions import Rounds
from mglubench.results.header import Header
from mglubench.results.judgement import LATENCY
from mglubench.results.load_run import load
from mglubench.results.readings import Reading, number_of, readings_of, rounds_of
from mglubench.results.run_comparison import Compared
from mglubench.results.store import ROWS, read_header
from mglubench.status import Status

# Facts of a case: the same at every run of the same code. Errors and counters only nearly.
FACTS = (
    *("bytes_total", "bytes_weights", "bytes_masks", "bytes_scratch", "flops"),
    *("error_before", "error_after"),
    *("dram_bytes_read", "dram_bytes_written", "l2_bytes_read", "l2_bytes_written"),
)


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """A case in one run.

    Attributes:
        readings: latency and ratios by name; none unless ``status`` is ok. facts: by column, those that are known.
        sm_mhz: clock of a GPU while it was sampled. timer: how samples were taken, in words.
        samples: in nanoseconds, where they were asked for. rounds: logarithms of the medians of its rounds, by set and
            number. worker: device, power limit and driver of the worker of a fleet that measured it.
    """

    case: Case
    status: Status
    reason: str
    timer: str = ""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    sm_mhz: float | None = None
    samples: Sequence[float] = ()
    rounds: Rounds = field(default_factory=dict)
    worker: str = ""

    @property
    def latency(self) -> float:
        """Its logarithm, of a case that was measured."""
        return math.log(self.readings[LATENCY].value)


@dataclass(frozen=True, slots=True)
class RunFigures:
    """A run: its header, and its cases by key; ceilings are none."""

    header: Header
    folder: str
    cases: Mapping[str, CaseFigures]

    @property
    def fake(self) -> bool:
        """Whether nothing was measured."""
        return bool(self.header.get("fake"))

    @property
    def devices(self) -> dict[str, Device]:
        """By their names in the sweep."""
        return devices_in(self.header["environment"])

    def told(self) -> Compared:
        """Who it is."""
        environment = self.header["environment"]
        git = environment.get("git") or {"commit": "", "dirty": False}
        return Compared(
            self.folder,
            environment["time"],
            git["commit"] + "+" * bool(git["dirty"]),
            environment["packages"].get("mglubench", ""),
            {name: device.name for name, device in self.devices.items()},
        )


def read_figures(folders: Iterable[Path], *, samples: bool = False) -> list[RunFigures]:
    """The figures of stored runs, oldest first; with raw samples if they are asked for.

    Raises:
        UsageError: no run there. StoreError: damaged, so that a case may be lacking that was measured, or from a newer
            version.
    """
    return sorted((_read(folder, samples) for folder in folders), key=lambda run: run.header["environment"]["time"])


def _read(folder: Path, samples: bool) -> RunFigures:
    # A header of a newer version is refused before millions of rows are read.
    header = read_header(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = load(folder, samples=True)
    _refuse_lost_cases(folder, header["cases"] - len(frame), [str(one.message) for one in said])
    for one in said:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    rows = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    cases = figures_of(rows)
    if not samples:
        cases = {key: replace(case, samples=()) for key, case in cases.items()}
    return RunFigures(header, str(folder), cases)


def _refuse_lost_cases(folder: Path, lacking: int, said: Sequence[str]) -> None:
    """Raise :class:`StoreError` where a damaged row may hold a case that the run lacks: it would look as if missing."""
    damaged = [words for words in said if words.startswith(f"{folder / ROWS}, line ")]
    if damaged and lacking > 0:
        raise StoreError(f"{damaged[0]}; {lacking} cases are lacking, `mglubench sweep --resume` measures them again")


def figures_of(rows: Sequence[Mapping[str, object]]) -> dict[str, CaseFigures]:
    """The cases of a derived frame's rows; of a baseline in several sets the first that was measured, as in tables."""
    found: dict[str, CaseFigures] = {}
    for row in rows:
        key, status = str(row["key"]), Status(str(row["status"]))
        known = found.get(key)
        if row["layer"] in CEILINGS or (known and (known.status == Status.OK or status != Status.OK)):
            continue
        found[key] = _case(row, status)
    return found


def _case(row: Mapping[str, object], status: Status) -> CaseFigures:
    case, reason = Case.from_dict(row), str(row.get("reason") or "")
    facts = {name: value for name in FACTS if math.isfinite(value := number_of(row, name))}
    if status != Status.OK:
        return CaseFigures(case, status, reason, facts=facts)
    clock = number_of(row, "gpu_sm_mhz")
    return CaseFigures(
        case,
        status,
        reason,
        str(row.get("timer") or ""),
        dict(readings_of(row)),
        facts,
        clock if clock > 0 else None,
        samples if isinstance(samples := row.get("samples_ns"), list) else (),
        rounds_of(row),
        _worker(row),
    )


def _worker(row: Mapping[str, object]) -> str:
    known = (row.get(f"worker_{name}") for name in ("device", "power_limit_watts", "driver"))
    return ", ".join(str(value) for value in known if value is not None and value == value)
