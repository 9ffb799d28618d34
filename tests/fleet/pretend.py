"""A transport without processes: fake workers in this one, which die, hang or answer badly as they are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import msgspec

from mglubench.executors.introduction import package_digest
from mglubench.fleet.fleet_worker import FleetWorker
from mglubench.fleet.messages import Answer, Event, HowToWork, Order, Told

# What becomes of an order: ``None`` for an answer, or the reason of a death, ``hang``, or ``spoiled``.
Fate = Callable[[str, Order], str | None]


class Pretended:
    """Workers by device, one a seat; a worker's name is its device and how many were there before it."""

    def __init__(
        self, devices: Sequence[str], fate: Fate = lambda device, order: None, digests: dict[str, str] | None = None
    ) -> None:
        self._devices, self._fate, self._digests = devices, fate, digests or {}
        self._serial = itertools.count()
        self._workers: dict[str, FleetWorker] = {}
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
        self._workers[name] = FleetWorker(HowToWork("cpu", "fake", pretended=device))
        told = msgspec.convert(self._workers[name].introduce(), Told)
        digest = self._digests.get(device, package_digest())
        self._events.append(Event(name, told=msgspec.structs.replace(told, digest=digest)))
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
        answer = msgspec.convert(self._workers[worker].measure(msgspec.to_builtins(order)), Answer)
        self._events.append(Event(worker, answer=msgspec.structs.replace(answer, spoiled=fate or "")))

    def events(self, seconds: float) -> Sequence[Event]:
        self.now += 0.0 if self._events else seconds
        found, self._events = self._events, []
        return [event for event in found if event.worker not in self.killed]

    def kill(self, worker: str) -> None:
        self.killed.append(worker)

    def close(self) -> None:
        self.closed = True
