"""What a fleet's workers and its driver say to each other: plain values, as JSON or as Ray carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.executors.machine import Machine
from mglubench.hardware.devices import Device
from mglubench.measure.measurement import Measurement, Worker


class HowToWork(msgspec.Struct, frozen=True):
    """What a worker must know before it begins.

    Attributes:
        device: ``cpu`` or ``cuda``, as its own process names the one that it holds. executor: of its sets.
        case_timeout: seconds. cores: that it takes of its machine, for ``cpu``. variables: of the driver's environment.
        pretended: identity of a device that does not exist, for ``fake``.
    """

    device: str
    executor: str = "child"
    case_timeout: float = 300.0
    cores: int = 0
    variables: dict[str, str] = {}
    pretended: str = ""


class Told(msgspec.Struct, frozen=True):
    """What a worker says of itself.

    Attributes:
        uuid: of its device; of a CPU, host and cores. digest: of its package. machine: as its session describes it.
        health: ``ok``, or what is the matter.
    """

    host: str
    uuid: str
    digest: str
    python: str
    packages: dict[str, str]
    machine: dict[str, object]
    health: str = "ok"

    @property
    def device(self) -> Device:
        """The one that it holds."""
        return next(iter(Machine.from_dict(self.machine).devices.values()))

    @property
    def kind(self) -> str:
        """What devices have in common whose rows may stand together: name, slice, power limit, a CPU's threads."""
        device = self.device
        watts = device.card.power_limit_watts if device.card else None
        told = (
            "a MIG slice" if (device.uuid or "").startswith("MIG") else "",
            f"{watts:g} W" if watts else "",
            f"{device.torch_threads} threads" if device.kind == "cpu" and device.torch_threads else "",
        )
        return ", ".join([device.name, *filter(None, told)])

    def facts(self) -> Worker:
        """What its rows keep; a clock is among their readings."""
        card = self.device.card
        known = {
            "host": self.host,
            "device": self.device.name,
            "uuid": self.uuid,
            "power_limit_watts": card.power_limit_watts if card else None,
            "driver": card.driver if card else None,
            "digest": self.digest,
        }
        return {name: value for name, value in known.items() if value is not None}


class Order(msgspec.Struct, frozen=True):
    """A set to be measured."""

    group: ComparisonSet
    settings: MeasureSettings


class Answer(msgspec.Struct, frozen=True):
    """What became of it.

    Attributes:
        found: a measurement per case. spoiled: why the device is to be doubted all the same; a poisoned context.
        error: why nothing was found.
    """

    found: list[Measurement] = []
    spoiled: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker did: it joined (``told``), answered, or died of a ``reason``."""

    worker: str
    told: Told | None = None
    answer: Answer | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SeatPlan:
    """A place where a worker is to be, and what its process gets beside this one's environment."""

    how: HowToWork
    env: Mapping[str, str] = field(default_factory=dict)
