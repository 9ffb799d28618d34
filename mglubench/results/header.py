"""The header of a run, ``run.json``, typed: what everybody who reads a run may rely on.

The types check what a reader takes for granted; what is optional, or known to one module alone (devices, the CPU, the
sweep), stays as plain values that their own modules understand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

import msgspec

from mglubench.hardware.devices import devices_in


class Git(TypedDict):
    """The commit that measured, and whether files were changed since."""

    commit: str
    dirty: bool


class Environment(TypedDict):
    """Where and with what a run was made; times are UTC, versions by package."""

    time: str
    python: str
    packages: dict[str, str]
    cpu: dict[str, object]
    devices: dict[str, dict[str, object]]
    git: NotRequired[Git | None]


class FleetWords(TypedDict):
    """What a fleet has to say of a run: beside its heading, and under every table."""

    heading: list[str]
    notes: list[str]


class Header(TypedDict):
    """What a run's rows have in common.

    ``sweep`` is what :class:`~mglubench.cases.sweep_spec.SweepSpec` keeps, ``cases`` how many were planned; a loaded
    frame adds its ``folder`` and, where a fleet measured, what is to be said of that.
    """

    schema: int
    name: str
    sweep: dict[str, object]
    cases: int
    environment: Environment
    fake: NotRequired[bool]
    folder: NotRequired[str]
    fleet: NotRequired[FleetWords]


def checked_header(values: Mapping[str, object]) -> Header:
    """The same values, with all that a header must have.

    Raises:
        ValueError: something is missing or of another type; the message says where. StoreError: no record of a device.
    """
    msgspec.convert(values, Header)
    devices_in(cast(Mapping[str, object], values["environment"]))
    return cast(Header, values)
