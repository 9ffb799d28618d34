"""What stands beside a device of a fleet: it holds the device alone and measures sets on it as a plain sweep would.

Its session is a process of its own, so that what a kernel does to that one (an illegal access poisons its context) does
not end the worker. Whoever carries messages to it, pipes or Ray, calls :meth:`FleetWorker.introduce` and
:meth:`FleetWorker.measure`.
"""

from __future__ import annotations

import os
import platform
from contextlib import ExitStack

import msgspec

from mglubench.errors import MglubenchError
from mglubench.executors.child import ChildSession
from mglubench.executors.comparison_set import SetBench
from mglubench.executors.introduction import package_digest
from mglubench.executors.open import open_session
from mglubench.fleet.messages import Answer, HowToWork, Order, Told
from mglubench.hardware.devices import Device
from mglubench.hardware.environment import host_record
from mglubench.system.claims import Claims
from mglubench.system.plain_text import words_of

# Reasons of a slow clock that are nothing of the kind: a card that waits is idle, and may be limited on purpose.
HARMLESS = {"idle", "application clocks", "power cap", "display clocks"}


class FleetWorker:
    """A worker of a fleet, in a process of its own."""

    def __init__(self, how: HowToWork) -> None:
        os.environ.update(how.variables)
        self._how = how
        self._claims, self._ends = Claims(), ExitStack()
        cores = self._take_cores()
        self._session = self._ends.enter_context(open_session(how.executor, how.case_timeout)).session
        self._machine = self._session.describe((how.device,))
        device = next(iter(self._machine.devices.values()))
        self._uuid = how.pretended or device.uuid or (device.card.uuid if device.card else None) or ""
        if device.kind == "cuda" and not self._machine.fake:
            self._claims.take([self._uuid], 1)
        elif not self._uuid:
            self._uuid = f"{platform.node()}, cores {cores}" if cores else platform.node()
        self._bench = SetBench(self._session, fake=self._machine.fake)

    def introduce(self) -> dict[str, object]:
        """:class:`~mglubench.fleet.messages.Told`, as plain values."""
        record = host_record()
        device = next(iter(self._machine.devices.values()))
        told = Told(
            host=platform.node(),
            uuid=self._uuid,
            digest=package_digest(),
            python=str(record["python"]),
            packages=msgspec.convert(record["packages"], dict[str, str]),
            machine=self._machine.to_dict(),
            health=_health(device),
        )
        return _plain(told)

    def measure(self, order: object) -> dict[str, object]:
        """An :class:`~mglubench.fleet.messages.Answer` to an order, both as plain values."""
        try:
            asked = msgspec.convert(order, Order)
            found = list(self._bench.measure(asked.group, asked.settings))
        except MglubenchError as error:
            return _plain(Answer(error=words_of(error)))
        except Exception as error:
            return _plain(Answer(error=f"{type(error).__name__}: {words_of(error)}"))
        spoiled = self._session.take_spoiled() if isinstance(self._session, ChildSession) else ""
        return _plain(Answer(found, spoiled))

    def close(self) -> None:
        """End the session and give back what was claimed."""
        self._ends.close()
        self._claims.release()

    def _take_cores(self) -> str:
        """Claim the cores of a CPU worker and stay on them; which these are, in words."""
        if not self._how.cores:
            return ""
        there = sorted(os.sched_getaffinity(0))
        taken = self._claims.take([f"core-{core}" for core in there], self._how.cores)
        cores = [int(name.removeprefix("core-")) for name in taken]
        os.sched_setaffinity(0, cores)
        return ",".join(map(str, cores))


def _health(device: Device) -> str:
    """``ok``, or what a card says is the matter with it."""
    reading = device.at_start or {}
    matter = [word for word in reading.get("throttle", []) if word not in HARMLESS]
    return ", ".join(matter) or "ok"


def _plain(value: Told | Answer) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(value)
    return plain
