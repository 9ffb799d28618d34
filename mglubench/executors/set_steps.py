"""The steps of a case in a set: made ready and checked in every place where cases run, sampled in one at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError
from mglubench.executors.session import Block, Session
from mglubench.executors.set_member import SetMember
from mglubench.measure.measurement import Round
from mglubench.system.plain_text import plain

# Blocks of a case in one round of which none was kept before the round goes on without it.
TRIES = 3

# Seconds between two looks at whether a place has an answer.
PAUSE = 0.002

Observer = Callable[[str, Case], None]
Step = Literal["prepare", "finish"]
# What observers are told of a step.
PHASES: dict[Step, str] = {"prepare": "prepare", "finish": "check"}


def supply(place: Session, member: SetMember) -> None:
    """Have one place make what several would make at the same time."""
    start = time.perf_counter()
    place.supply(member.case)
    member.spend("prepare", time.perf_counter() - start)


def sample(session: Session, turn: Round, settings: MeasureSettings, member: SetMember) -> None:
    """One block that is kept; a block that is discarded is taken again, a few times."""
    seconds = settings.max_seconds / settings.rounds
    most = max(1, settings.max_samples // settings.rounds)
    for _ in range(TRIES):
        start = time.perf_counter()
        block = session.sample(member.case, seconds, most)
        member.spend("sampling", block.seconds)
        member.spend("isolation", max(0.0, time.perf_counter() - start - block.seconds))
        member.readings += block.telemetry
        turn = turn.after(block.discarded, block.settling)
        member.discarded += block.discarded
        if block.reason:
            member.why_discarded = f"taken while {block.reason}"
        if block.samples:
            break
    member.rounds.append(turn.kept(len(block.samples), _copies(block)))
    member.samples += [round(value) for value in block.samples]


def everywhere(
    places: Sequence[Session], members: Sequence[SetMember], step: Step, observe: Observer
) -> Iterator[tuple[SetMember, CaseError]]:
    """Do a step with every member in every place; yields who failed, as soon as that is known.

    Where there are several places each goes through the members at a pace of its own, and each begins with others: the
    work of one is not waited for by all, and what one compiles the rest find in the compilers' caches. Who failed in
    one place is not begun in the others any more.
    """
    failed: list[SetMember] = []
    queues = [_Queue(place, deque(_from(members, n, len(places))), len(places)) for n, place in enumerate(places)]
    busy = deque(queue for queue in queues if queue.begin(step, observe, failed))
    while busy:
        queue = _next_ready(busy)
        member = queue.left.popleft()
        try:
            queue.hear(step, member)
        except CaseError as error:
            if member not in failed:
                failed.append(member)
                yield member, error
        if queue.begin(step, observe, failed):
            busy.append(queue)


@dataclass
class _Queue:
    """A place, and the members that a step is left to be done with there, among so many places."""

    place: Session
    left: deque[SetMember]
    places: int
    since: float = 0.0

    def begin(self, step: Step, observe: Observer, failed: Sequence[SetMember]) -> bool:
        """Begin with the next member; whether there is one."""
        while self.left and self.left[0] in failed:
            self.left.popleft()
        if not self.left:
            return False
        self.since = time.perf_counter()
        observe(PHASES[step], self.left[0].case)
        if self.places > 1:
            self.place.begin(step, self.left[0].case)
        return True

    def hear(self, step: Step, member: SetMember) -> None:
        """What became of it. Of seconds that passed in all places at once, each is charged with its share."""
        inside, checking = 0.0, 0.0
        try:
            if step == "prepare":
                prepared = self.place.prepare(member.case)
                member.prepared = prepared
                member.before.append(prepared.check)
                inside, checking = sum(prepared.seconds.values()), prepared.seconds.get("check", 0.0)
            else:
                finished = self.place.finish(member.case)
                member.after.append(finished.check)
                member.notes += [note for note in map(plain, finished.notes) if note not in member.notes]
                inside = checking = finished.seconds
        except CaseError:
            inside = time.perf_counter() - self.since if step == "prepare" else 0.0
            raise
        finally:
            outside = max(0.0, time.perf_counter() - self.since - inside)
            for purpose, seconds in (("prepare", inside - checking), ("check", checking), ("isolation", outside)):
                member.spend(purpose, seconds / self.places)


def _from(members: Sequence[SetMember], number: int, places: int) -> list[SetMember]:
    """All members, from another one on in every place."""
    first = number * len(members) // places
    return [*members[first:], *members[:first]]


def _next_ready(busy: deque[_Queue]) -> _Queue:
    """Take the first place that has an answer off the busy ones."""
    while True:
        for queue in busy:
            if len(busy) == 1 or queue.place.ready():
                busy.remove(queue)
                return queue
        time.sleep(PAUSE)


def _copies(block: Block) -> list[int]:
    """The copies that samples ran on; nothing where all ran on the first."""
    return block.copies if any(block.copies) else []
