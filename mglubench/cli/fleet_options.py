"""The options of a fleet, and what they ask for together."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import OptionInfo

from mglubench.cli.help_pages import FLEET
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.fleet.open_fleet import FleetOptions

# A fleet of processes of this machine, as a device.
ALL = ":all"
# What the workers run, in tests.
INSIDE = "MGLUBENCH_FLEET_EXECUTOR"


def _fleet(words: str, metavar: str | None = None, least: int | None = None) -> OptionInfo:
    option: OptionInfo = typer.Option(help=words, metavar=metavar, min=least, rich_help_panel=FLEET)
    return option


Executor = Annotated[str, _fleet("Where cases run: child, local, or ray for a fleet.")]
Address = Annotated[str, _fleet("Ray cluster, auto or HOST:PORT. (default: a running one, or one of its own)")]
Spread = Annotated[str, _fleet("Each set once (shapes), on all kinds of devices, or on all devices.")]
Kind = Annotated[str, _fleet("Only devices with this in their kind; any for all.", metavar="TEXT,...")]
Cores = Annotated[int, _fleet("Cores of each CPU worker. (default: all)", least=0)]
SetTimeout = Annotated[float, _fleet("Seconds that a comparison set may take. (default: by its cases)", least=0)]


def asked_for(
    executor: str,
    given: MutableMapping[str, object],
    address: str = "",
    spread: str = "shapes",
    kind: str = "",
    cores: int = 0,
    set_timeout: float = 0.0,
) -> FleetOptions | None:
    """The fleet that the options of a sweep ask for; ``None`` where they ask for none.

    ``--device cuda:all`` is a fleet of processes of this machine; the device that is given becomes a plain one.

    Raises:
        UsageError: options of a fleet without one.
    """
    device = str(given.get("device", "auto"))
    if executor != "ray" and not device.endswith(ALL):
        _refuse({"address": address, "spread": spread != "shapes", "kind": kind, "cores": cores, "set": set_timeout})
        return None
    from mglubench.fleet.open_fleet import PROCESSES, RAY, FleetOptions

    device = device.removesuffix(ALL)
    if "," in device:
        raise UsageError(f"--device {device}: a fleet measures on one kind of device, cuda or cpu")
    given["device"] = device
    over, inside = (RAY, os.environ.get(INSIDE, "child")) if executor == "ray" else (PROCESSES, executor)
    kinds = tuple(part.strip() for part in kind.split(",") if part.strip())
    return FleetOptions(over, device, inside, address, spread, kinds, cores, set_timeout)


def _refuse(given: dict[str, object]) -> None:
    named = [f"--{name}" for name, value in given.items() if value]
    if named:
        named[0] = named[0].replace("--set", "--set-timeout")
        raise UsageError(f"{named[0]} is for a fleet; add --executor ray, or --device cuda:all for this machine's GPUs")
