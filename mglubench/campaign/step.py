"""What the steps of a campaign work with: the folder, the clock of the slice, sessions, and processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from mglubench.campaign.definition import Campaign
from mglubench.campaign.outcome import StepState
from mglubench.campaign.unit_rows import UnitRow
from mglubench.executors.machine import Machine
from mglubench.executors.session import Session
from mglubench.hardware.devices import Device
from mglubench.system.lines import Lines, decoded, keyed_object

# A process that cannot get this much is left for the next slice.
LEAST_SECONDS = 10.0

UnitRowT = TypeVar("UnitRowT", bound=UnitRow)
OpenSession = Callable[[Path, float], AbstractContextManager[Session]]


@dataclass
class Slice:
    """The time that one call may take, in seconds.

    The first unit of work is always started, or a unit longer than a slice would never be.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    worked: bool = False

    def __post_init__(self) -> None:
        self.started = self.clock()

    def left(self) -> float:
        """Seconds until the slice is over, not below 0."""
        return max(0.0, self.seconds - (self.clock() - self.started))

    def fits(self, seconds: float) -> bool:
        """Whether work of so many seconds should be started now."""
        left = self.left()
        return not self.worked or (left > 0 and seconds <= left)

    def starts(self, seconds: float) -> bool:
        """As :meth:`fits`; counts the work as started if so."""
        good = self.fits(seconds)
        self.worked = self.worked or good
        return good


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that a step needs, beside its options.

    Attributes:
        machine: what a session said of it. open_session: a session that logs to a file, with a case
            time-out in seconds. say: shows a line of progress. history: the states of finished steps by name.
    """

    folder: Path
    campaign: Campaign
    machine: Machine
    slice: Slice
    open_session: OpenSession
    say: Callable[[str], None] = lambda line: None
    history: dict[str, StepState] = field(default_factory=dict)

    @property
    def fake(self) -> bool:
        """Whether nothing is measured."""
        return self.machine.fake

    @property
    def device(self) -> Device:
        """The device that the campaign is for."""
        return self.machine.devices[self.campaign.device]

    @property
    def architecture(self) -> str:
        """What kernels are compiled for; only asked of a device that runs them."""
        assert self.device.architecture
        return self.device.architecture

    def why_no_kernels(self) -> str:
        """Why nothing can be launched on a GPU here; empty if it can."""
        if self.fake:
            return "the fake executor runs no kernel"
        return "" if self.device.kind == "cuda" else f"needs a CUDA device, this campaign runs on {self.device.kind}"

    def log(self, name: str) -> Path:
        """The file that collects what a step's processes print."""
        folder = self.folder / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"

    def rows(self, name: str, kind: type[UnitRowT]) -> dict[str, UnitRowT]:
        """What a step has appended to its file so far, by key; damaged rows are left out with a warning."""

        def checked(line: bytes) -> UnitRowT:
            return msgspec.convert(keyed_object(line), kind)

        return {row["key"]: row for row in decoded(self.folder / name, checked)}

    def relative(self, path: Path) -> str:
        """A path as it is written into rows."""
        return str(path.relative_to(self.folder))


class Appender:
    """Rows of one step, on disk as soon as they are known; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)

    def __enter__(self) -> Appender:
        self._lines.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def append(self, row: UnitRow) -> None:
        """Write one row and sync it."""
        self._lines.append(row)
