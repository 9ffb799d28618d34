"""The machine that a session runs on: devices, memory, and why which variant cannot run there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mglubench.hardware.devices import Device


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one device, in bytes; ``available`` can be allocated now."""

    total: int
    available: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What a session says of where it runs.

    Attributes:
        devices, memory: by torch's name of the device, in the order that they were asked for.
        unavailable: why a variant cannot run, by kind of device and by the variant's name; only of those that cannot.
        fake: whether nothing is measured.
    """

    devices: Mapping[str, Device]
    memory: Mapping[str, Memory]
    unavailable: Mapping[str, Mapping[str, str]]
    fake: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the pipe to another process."""
        return {
            "devices": {name: device.to_dict() for name, device in self.devices.items()},
            "memory": {name: asdict(memory) for name, memory in self.memory.items()},
            "unavailable": {kind: dict(reasons) for kind, reasons in self.unavailable.items()},
            "fake": self.fake,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Machine:
        """What :meth:`to_dict` wrote."""
        return cls(
            devices={name: Device.from_dict(record) for name, record in values["devices"].items()},
            memory={name: Memory(**memory) for name, memory in values["memory"].items()},
            unavailable=values["unavailable"],
            fake=values["fake"],
        )
