"""Opening a fleet by what a user asked for: processes of this machine, or Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from mglubench.cases.vocabulary import device_kind, one_of
from mglubench.errors import UsageError
from mglubench.fleet import PROCESSES, RAY
from mglubench.fleet.driver import Fleet, Tell
from mglubench.fleet.local_transport import LocalTransport
from mglubench.fleet.messages import HowToWork, SeatPlan
from mglubench.fleet.roster import SPREADS, Roster
from mglubench.fleet.transport import Transport
from mglubench.hardware.visible_cards import device_uuids
from mglubench.system.limits import affinity

# How many cards a fleet of fake workers pretends.
FAKE_DEVICES = "MGLUBENCH_FAKE_DEVICES"
_CARRIED = ("MGLUBENCH_", "OMP_", "MKL_", "NUMBA_", "KMP_")


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """A fleet as it was asked for.

    Attributes:
        over: ``processes`` of this machine, or ``ray``. device: ``cuda``, ``cpu`` or ``auto``. executor: of the sets.
        address: of a Ray cluster, ``auto`` or HOST:PORT; empty: one that is started here. spread, kinds: see
            :class:`~mglubench.fleet.roster.Roster`.
        cores: of each CPU worker; 0: all of a machine. set_seconds: that a set may take; 0: by its cases.
    """

    over: str = PROCESSES
    device: str = "auto"
    executor: str = "child"
    address: str = ""
    spread: str = "shapes"
    kinds: tuple[str, ...] = ()
    cores: int = 0
    set_seconds: float = 0.0

    def __post_init__(self) -> None:
        one_of(self.over, (PROCESSES, RAY), "executor of a fleet")
        one_of(self.spread, SPREADS, "spread")


@contextmanager
def open_fleet(
    options: FleetOptions, case_timeout: float = 300.0, tell: Tell = lambda what, known: None
) -> Iterator[Fleet]:
    """A fleet whose workers are there; all of them end with it, whatever happens.

    Raises:
        UsageError: no worker can take part. UnavailableError: no Ray, or no devices.
    """
    with TemporaryDirectory(prefix="mglubench-fleet-") as scratch:
        how = HowToWork(_device(options), options.executor, case_timeout, variables=_variables())
        fleet = Fleet(
            _transport(options, how, Path(scratch) / "worker.log"),
            Roster(options.spread, options.kinds),
            case_timeout=case_timeout,
            set_seconds=options.set_seconds,
            tell=tell,
        )
        try:
            fleet.open()
            yield fleet
        finally:
            fleet.close()


def _transport(options: FleetOptions, how: HowToWork, log: Path) -> Transport:
    if options.over == PROCESSES:
        return LocalTransport(list(_seats(options, how)), log)
    from mglubench.fleet.ray_transport import RayTransport

    return RayTransport(how, options.address, options.cores)


def _device(options: FleetOptions) -> str:
    """``cpu`` or ``cuda``."""
    if options.device != "auto":
        return device_kind(options.device)
    if options.executor == "fake":
        return "cuda" if "MGLUBENCH_FAKE_CUDA" in os.environ else "cpu"
    return "cuda" if device_uuids() else "cpu"


def _seats(options: FleetOptions, how: HowToWork) -> Iterator[SeatPlan]:
    """One for each card of this machine; on a CPU as many as its cores are enough for."""
    if how.executor == "fake":
        for number in range(int(os.environ.get(FAKE_DEVICES, "2"))):
            yield SeatPlan(msgspec.structs.replace(how, pretended=f"fake-{number}"))
    elif how.device == "cuda":
        for uuid in device_uuids():
            yield SeatPlan(how, {"CUDA_VISIBLE_DEVICES": uuid})
    else:
        here = affinity()
        cores = options.cores or here
        if cores > here:
            raise UsageError(f"--cores {cores}: this process may use {here}; ask for fewer")
        for _ in range(here // cores):
            yield SeatPlan(msgspec.structs.replace(how, cores=cores))


def _variables() -> dict[str, str]:
    """Of this process's environment, what workers anywhere must have as well."""
    return {name: value for name, value in os.environ.items() if name.startswith(_CARRIED)}
