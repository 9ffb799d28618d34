"""The driver of a fleet: starts workers, places sets by the scheduler, hears what became of them, ends all.

It knows neither processes nor Ray; a transport does. What it yields has been measured, or has failed twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec.structs import replace

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.fleet.messages import Answer, Event, Order, Told
from mglubench.fleet.roster import Roster
from mglubench.fleet.scheduler import Scheduler, Work
from mglubench.fleet.transport import Transport
from mglubench.measure.measurement import Measurement, Worker
from mglubench.status import Status

# Between two looks at whether something takes too long.
LOOK_SECONDS = 0.5
# How long workers may take to join; later ones take part when they come.
JOIN_SECONDS = 300.0
# How long a sweep whose workers are all gone waits for another.
ALONE_SECONDS = 60.0
# Beside the time that each case of a set may take.
SET_GRACE = 60.0
# Workers that are started in one seat, one after the other, of which none joins.
STARTS = 3

Known = Mapping[str, int | float | str]
# Hears what happens: a word for what, and what there is to know of it.
Tell = Callable[[str, Known], None]
Ended = tuple[ComparisonSet, list[Measurement]]


class Fleet:
    """Workers that measure sets.

    Args:
        transport: to them. roster: who may take part. case_timeout: seconds that a case may take; a set has as many as
            its cases together, and some more, if it is not told ``set_seconds``. alone_seconds: that are waited for
            another worker when all are gone.
    """

    def __init__(
        self,
        transport: Transport,
        roster: Roster,
        *,
        case_timeout: float = 300.0,
        set_seconds: float = 0.0,
        alone_seconds: float = ALONE_SECONDS,
        tell: Tell = lambda what, known: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport, self.roster, self.tell = transport, roster, tell
        self.scheduler = Scheduler()
        self.refused: list[str] = []
        self._case_timeout, self._set_seconds, self._alone = case_timeout, set_seconds, alone_seconds
        self._clock = clock
        # Of workers that are there or on their way.
        self._seat_of: dict[str, int] = {}
        self._fruitless: Counter[int] = Counter()
        self._there: dict[int, ComparisonSet] = {}
        self._left_out: set[str] = set()

    def open(self) -> None:
        """Start all workers, and wait until each has joined or failed to.

        Raises:
            UsageError: none can take part; the message says why.
        """
        for seat in range(self.transport.seats()):
            self._start(seat)
        until = self._clock() + JOIN_SECONDS
        while len(self.roster.workers) < len(self._seat_of) and self._clock() < until:
            for event in self.transport.events(LOOK_SECONDS):
                self._heard(event)
        if not self.roster.workers:
            raise UsageError(f"no worker can take part: {'; '.join(dict.fromkeys(self.refused)) or 'there is none'}")

    def measured(self, groups: Iterable[ComparisonSet], settings: MeasureSettings) -> Iterator[Ended]:
        """Every set with what became of its cases, as they end; a set that no worker was left for is missing."""
        self._there = {group.number: group for group in groups}
        self.scheduler.add(map(self._work, self._there.values()))
        for worker, told in self.roster.workers.items():
            self._take_part(worker, told)
        last = self._clock()
        while not self.scheduler.over:
            for worker, work in self.scheduler.placements(self._clock()):
                self.transport.send(worker, Order(self.roster.at_worker(self._there[work.number]), settings))
            if self.scheduler.busy:
                last = self._clock()
            elif self._clock() - last > self._alone or not self._seat_of:
                self.tell("unplaced", {"sets": len(self.scheduler.unplaced())})
                return
            for event in self.transport.events(LOOK_SECONDS):
                yield from self._heard(event)
            yield from self._too_late()

    def ask(self, workers: Iterable[str], order: Order, seconds: float) -> dict[str, Answer]:
        """What these workers answer to the same order at the same time, beside the sets; of those that do."""
        asked, answers = list(workers), dict[str, Answer]()
        for worker in asked:
            self.transport.send(worker, order)
        until = self._clock() + seconds
        while (
            waiting := [w for w in asked if w in self.roster.workers and w not in answers]
        ) and self._clock() < until:
            for event in self.transport.events(LOOK_SECONDS):
                if event.answer is None:
                    self._heard(event)
                else:
                    answers[event.worker] = event.answer
            asked = [worker for worker in asked if worker in self.roster.workers and worker not in answers]
        for worker in waiting:
            self.transport.kill(worker)
            self._died(Event(worker, reason=f"no answer within {seconds:g} s; killed"), Status.TIMEOUT)
        return answers

    def close(self) -> None:
        """End all workers."""
        self.transport.close()

    def _start(self, seat: int) -> None:
        self._seat_of[self.transport.start(seat)] = seat

    def _heard(self, event: Event) -> list[Ended]:
        """The sets that end by what was heard."""
        if event.told:
            self._joined(event.worker, event.told)
            return []
        if event.answer is None:
            return self._died(event, Status.CRASH)
        return self._answered(event.worker, event.answer)

    def _joined(self, worker: str, told: Told) -> None:
        if why := self.roster.why_refused(told):
            self.refused.append(why)
            self.tell("refused", {"why": why})
            # Nobody else is started in its seat, which would be of the same code.
            self._seat_of.pop(worker, None)
            self.transport.kill(worker)
            return
        self._fruitless[self._seat_of[worker]] = 0
        self.roster.workers[worker] = told
        self.tell("joined", {"worker": worker, "kind": told.kind, "health": told.health, **told.facts()})
        self._take_part(worker, told)

    def _take_part(self, worker: str, told: Told) -> None:
        if worker not in self.scheduler.seats and (serves := self.roster.serves(told)):
            self.scheduler.joined(worker, told.uuid, serves)

    def _answered(self, worker: str, answer: Answer) -> list[Ended]:
        if doubt := answer.error or answer.spoiled:
            return self._failed(worker, doubt, Status.ERROR, gone=False, found=answer.found)
        return [self._ended(self.scheduler.finished(worker), answer.found, worker)]

    def _died(self, event: Event, status: Status) -> list[Ended]:
        seat = self._seat_of.pop(event.worker, None)
        if seat is None:
            return []
        found: list[Ended] = []
        if event.worker in self.scheduler.seats:
            found = self._failed(event.worker, event.reason, status, gone=True)
        elif event.worker not in self.roster.workers:
            self._fruitless[seat] += 1
            self.refused.append(event.reason)
            self.tell("absent", {"seat": seat, "why": event.reason})
        joined = self.roster.workers.pop(event.worker, None)
        if joined or (self.roster.settled and self._fruitless[seat] < STARTS):
            self._start(seat)
        return found

    def _failed(
        self, worker: str, reason: str, status: Status, *, gone: bool, found: list[Measurement] | None = None
    ) -> list[Ended]:
        told, work = self.roster.workers[worker], self.scheduler.seats[worker].work
        given_up = self.scheduler.failed(worker, reason, gone=gone)
        known: Known = {"set": work.number, "again": int(given_up is None)} if work else {}
        self.tell("failed", {"worker": worker, "uuid": told.uuid, "host": told.host, "why": reason, **known})
        out = {device for device in self.scheduler.failures if self.scheduler.left_out(device)}
        for device in sorted(out ^ self._left_out):
            self.tell("left out" if device in out else "taken back", {"uuid": device})
        self._left_out = out
        if given_up is None:
            return []
        if not found:
            tries = zip(given_up.tried, given_up.reasons, strict=True)
            why = f"measured twice in vain: {'; then '.join(f'on {device}: {words}' for device, words in tries)}"
            group = self.roster.at_worker(self._there[given_up.number])
            found = [Measurement(case, status, why, set=group.number) for case in group.cases]
        return [self._ended(given_up, found, worker, told)]

    def _ended(self, work: Work, found: list[Measurement], worker: str, told: Told | None = None) -> Ended:
        """A set and its measurements, as this run names their device, with who measured them."""
        facts: Worker = dict((told or self.roster.workers[worker]).facts())
        if work.reasons:
            facts["again"] = f"{work.tried[0]}: {work.reasons[0]}"
        group = self._there.pop(work.number)
        return group, [replace(one, case=case, worker=facts) for case, one in self.roster.paired(group, found)]

    def _too_late(self) -> Iterator[Ended]:
        """Sets that take longer than they may cost their workers."""
        for worker in self.scheduler.overdue(self._clock()):
            work = self.scheduler.seats[worker].work
            assert work is not None
            self.transport.kill(worker)
            yield from self._died(Event(worker, reason=f"no answer within {work.limit:g} s; killed"), Status.TIMEOUT)

    def _work(self, group: ComparisonSet) -> Work:
        seconds = self._set_seconds or len(group.cases) * self._case_timeout + SET_GRACE
        return Work(group.number, self.roster.wanted_by(group), seconds)
