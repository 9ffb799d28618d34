"""Who measures which set: a state machine without processes, clocks or devices of its own.

A set waits, is placed on a worker, and ends; where the worker fails it is placed once more, on another device if there
is one. A failure is the device's, until the set has failed on another device too: then it is the set's. A device with
two failures of its own gets nothing any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

# Placements of a set, and failures that a device may have of its own.
PLACEMENTS = 2
FAILURES = 2


@dataclass(frozen=True, slots=True)
class Work:
    """A set that is to be measured.

    Attributes:
        number: of it, no other's. wants: what a worker must serve to get it. limit: seconds that it may take.
        tried: devices on which it failed. reasons: of that, in the same order.
    """

    number: int
    wants: str = ""
    limit: float = float("inf")
    tried: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(slots=True)
class Seat:
    """A worker.

    Attributes:
        device: that it holds, alone. serves: what sets may want. work: that it has been given. since: when.
    """

    device: str
    serves: tuple[str, ...]
    work: Work | None = None
    since: float = 0.0


@dataclass
class Scheduler:
    """Places works on workers, by their names; every work comes back once, from :meth:`finished` or :meth:`failed`.

    Attributes:
        failures: what each device has failed at and no other device has.
    """

    seats: dict[str, Seat] = field(default_factory=dict)
    failures: dict[str, set[int]] = field(default_factory=dict)
    _waiting: dict[str, deque[Work]] = field(default_factory=dict)
    _again: list[Work] = field(default_factory=list)
    _free: dict[str, None] = field(default_factory=dict)
    _idle_deaths: int = 0

    def add(self, works: Iterable[Work]) -> None:
        """More to be done, in this order."""
        for work in works:
            self._waiting.setdefault(work.wants, deque()).append(work)

    def joined(self, worker: str, device: str, serves: Sequence[str] = ("",)) -> None:
        """A worker is ready."""
        self.seats[worker] = Seat(device, tuple(serves))
        self._free[worker] = None

    def placements(self, now: float) -> list[tuple[str, Work]]:
        """What is to begin now, and where; it counts as begun."""
        begun = []
        for worker in list(self._free):
            if work := self._next(self.seats[worker]):
                del self._free[worker]
                self.seats[worker].work, self.seats[worker].since = work, now
                begun.append((worker, work))
        return begun

    def finished(self, worker: str) -> Work:
        """The worker has done its work and is free."""
        seat = self.seats[worker]
        work, seat.work = seat.work, None
        assert work is not None
        self._free[worker] = None
        return work

    def failed(self, worker: str, reason: str, *, gone: bool) -> Work | None:
        """What the worker was at has failed; the work, if it is given up, and else it waits to be placed again.

        Args:
            gone: whether the worker is no more; one without work has failed as well.
        """
        seat = self.seats[worker]
        work, seat.work = seat.work, None
        self._free[worker] = None
        if gone:
            del self._free[worker], self.seats[worker]
        if work is None:
            self._idle_deaths += 1
            self.failures.setdefault(seat.device, set()).add(-self._idle_deaths)
            return None
        before, work = work.tried, replace(work, tried=(*work.tried, seat.device), reasons=(*work.reasons, reason))
        if before and seat.device not in before:
            for device in before:
                self.failures.get(device, set()).discard(work.number)
        else:
            self.failures.setdefault(seat.device, set()).add(work.number)
        if len(work.tried) >= PLACEMENTS:
            return work
        self._again.append(work)
        return None

    def overdue(self, now: float) -> list[str]:
        """Workers whose work takes longer than it may."""
        return [name for name, seat in self.seats.items() if seat.work and now - seat.since > seat.work.limit]

    def left_out(self, device: str) -> bool:
        """Whether a device has failed so often that it gets nothing any more."""
        return len(self.failures.get(device, ())) >= FAILURES

    @property
    def busy(self) -> int:
        """Works that are being done."""
        return len(self.seats) - len(self._free)

    @property
    def over(self) -> bool:
        """Whether nothing waits and nothing is being done."""
        return not self.busy and not self._again and not any(self._waiting.values())

    def unplaced(self) -> list[Work]:
        """What waits."""
        return [*self._again, *(work for queue in self._waiting.values() for work in queue)]

    def _next(self, seat: Seat) -> Work | None:
        if self.left_out(seat.device):
            return None
        for place, work in enumerate(self._again):
            if work.wants in seat.serves and (seat.device not in work.tried or not self._elsewhere(work)):
                return self._again.pop(place)
        queues = (queue for want in seat.serves if (queue := self._waiting.get(want)))
        return next((queue.popleft() for queue in queues), None)

    def _elsewhere(self, work: Work) -> bool:
        """Whether a device is there that could do this work and has not failed at it."""
        return any(
            work.wants in seat.serves and seat.device not in work.tried and not self.left_out(seat.device)
            for seat in self.seats.values()
        )
