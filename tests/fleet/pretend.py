"""A transport without processes: fake workers in this one, which die, hang or answer badly as they are told."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import msgspec

from mglubench.executors.introduction import package_digest
from mglubench.fleet.fleet_worker import FleetWorker
from mglubench.fleet.messages import Answer, Event, HowToWork, Order, Told

# What becomes of an order: ``None`` for an answer, or the reason of a death, ``hang``, or ``spoiled``.
Fate = Callable[[str, Order], str | None]


@functools.cache
def fake_worker() -> tuple[FleetWorker, Told]:
    """One that measures for all, and what it says of itself."""
    worker = FleetWorker(HowToWork("cpu", "fake", pretended="template"))
    return worker, msgspec.convert(worker.introduce(), Told)


def told_of(device: str, kind: str = "fake device", **changes: str) -> Told:
    """What a worker with this device says of itself."""
    told = fake_worker()[1]
    (name, found), *_ = told.machine["devices"].items()
    machine = {**told.machine, "devices": {name: {**found, "name": kind}}}
    return msgspec.structs.replace(told, uuid=device, machine=machine, **changes)


class Pretended:
    """Workers by device, one a seat; a worker's name is its device and how many were there before it."""

    def __init__(
        self,
        devices: Sequence[str],
        fate: Fate = lambda device, order: None,
        digests: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self._devices, self._fate, self._digests, self._kinds = devices, fate, digests or {}, kinds or {}
        self._serial = itertools.count()
        self._events: list[Event] = []
        self.killed: list[str] = []
        self.orders: list[tuple[str, int]] = []
        self.closed = False
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def seats(self) -> int:
        return len(self._devices)

    def start(self, seat: int) -> str:
        device = self._devices[seat]
        name = f"{device}#{next(self._serial)}"
        digest = self._digests.get(device, package_digest())
        told = told_of(device, self._kinds.get(device, "fake device"), digest=digest)
        self._events.append(Event(name, told=told))
        return name

    def send(self, worker: str, order: Order) -> None:
        device = worker.partition("#")[0]
        self.orders.append((device, order.group.number))
        fate = self._fate(device, order)
        if fate == "hang":
            return
        if fate not in (None, "spoiled"):
            self._events.append(Event(worker, reason=fate))
            return
        answer = msgspec.convert(fake_worker()[0].measure(msgspec.to_builtins(order)), Answer)
        self._events.append(Event(worker, answer=msgspec.structs.replace(answer, spoiled=fate or "")))

    def events(self, seconds: float) -> Sequence[Event]:
        self.now += 0.0 if self._events else seconds
        found, self._events = self._events, []
        return [event for event in found if event.worker not in self.killed]

    def kill(self, worker: str) -> None:
        self.killed.append(worker)

    def close(self) -> None:
        self.closed = True
