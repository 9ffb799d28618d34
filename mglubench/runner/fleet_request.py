"""What the options of a sweep ask of a fleet, together; the same from a command line and from Python."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from mglubench.cases.config import as_list
from mglubench.errors import UsageError
from mglubench.fleet import PROCESSES, RAY

if TYPE_CHECKING:
    from mglubench.fleet.open_fleet import FleetOptions

# A fleet of processes of this machine, as a device.
ALL = ":all"
# What the workers run, in tests.
INSIDE = "MGLUBENCH_FLEET_EXECUTOR"

T = TypeVar("T")


def asked_for(
    executor: str,
    given: MutableMapping[str, T | str],
    address: str = "",
    spread: str = "shapes",
    kind: str | Sequence[str] = "",
    cores: int = 0,
    set_timeout: float = 0.0,
) -> FleetOptions | None:
    """The fleet that the options of a sweep ask for; ``None`` where they ask for none.

    ``--device cuda:all`` is a fleet of processes of this machine; the device that is given becomes a plain one.

    Raises:
        UsageError: options of a fleet without one.
    """
    device = str(given.get("device", "auto"))
    if executor != RAY and not device.endswith(ALL):
        _refuse({"address": address, "spread": spread != "shapes", "kind": kind, "cores": cores, "set": set_timeout})
        return None
    from mglubench.fleet.open_fleet import FleetOptions

    if device.endswith(ALL):
        given["device"] = device = device.removesuffix(ALL)
    over, inside = (RAY, os.environ.get(INSIDE, "child")) if executor == RAY else (PROCESSES, executor)
    kinds = tuple(map(str, as_list(kind, "kind"))) if kind else ()
    return FleetOptions(over, device, inside, address, spread, kinds, cores, set_timeout)


def _refuse(given: dict[str, object]) -> None:
    named = [f"--{name}" for name, value in given.items() if value]
    if named:
        named[0] = named[0].replace("--set", "--set-timeout")
        raise UsageError(f"{named[0]} is for a fleet; add --executor ray, or --device cuda:all for this machine's GPUs")
