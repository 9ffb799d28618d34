"""Measure a comparison set in rounds: every case once a round, in an order that changes, over several processes.

Cases that are compared must have been measured at the same time. So no case leaves before the others: a round gives
each of them one block, short enough that a second's drift hits all, and sampling ends for the set as a whole. The
rounds are dealt out to several processes, because a process is one draw of addresses, of compiled code and of thread
pools, and its samples cannot tell what another draw would have given. Each process prepares the cases anew and checks
them before and after its rounds.

Where the memory holds them, the processes live side by side and take rounds in turn, the first as soon as it is ready.
One after the other, each would have a stretch of the run to itself, and what the machine does over time could not be
told from what they differ by.

Written against the session protocol alone: the same code drives a process of its own, this process, or a fake.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.comparison import Member as Compared
from mglubench.comparison import Role, compare_set, shown_ratios
from mglubench.errors import CaseError
from mglubench.executors.core_watch import CoreWatch, one_place, place_of_cores
from mglubench.executors.session import Block, Prepared, Session
from mglubench.executors.summaries import summarise
from mglubench.hardware.devices import Reading
from mglubench.measure.measurement import Errors, Measurement, Round, series_of
from mglubench.measure.stopping import SetLimits, set_stop
from mglubench.notices import ENOUGH_ROUNDS
from mglubench.status import Status
from mglubench.system.plain_text import plain, words_of

# Blocks of a case in one round of which none was kept before the round goes on without it.
TRIES = 3
# Of a case's samples, discarded ones beyond which the rest is not believed.
MOSTLY = 0.5
# Rounds that are taken at most, over those that were asked for, because some will be set aside.
MOST_MADE_UP = 1.5

# What the seconds of a case are spent for.
PURPOSES = ("prepare", "sampling", "check", "isolation")

Observer = Callable[[str, Case], None]


@dataclass
class _Member:
    """A case while its set is being measured."""

    case: Case
    role: Role | None
    prepared: Prepared | None = None
    samples: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    distances: list[float | None] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    before: list[Errors] = field(default_factory=list)
    after: list[Errors] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overhead: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PURPOSES, 0.0))
    discarded: int = 0
    why_discarded: str = "taken below 75 % of the SM clock"

    def compared_as(self, role: Role, kept: Sequence[bool]) -> Compared:
        """The case as its set is compared, by the rounds that are kept."""
        case = self.case
        return Compared(case.key, role, (case.nm, case.mask) if case.nm else None, series_of(*self.in_rounds(kept)))

    def in_rounds(self, kept: Sequence[bool]) -> tuple[list[int], list[Round]]:
        """Samples and rounds without the samples of rounds that are not kept."""
        ends = list(accumulate(turn.count for turn in self.rounds))
        parts = (self.samples[end - turn.count : end] for end, turn in zip(ends, self.rounds, strict=True))
        samples = [sample for part, stays in zip(parts, kept, strict=True) if stays for sample in part]
        rounds = [turn if stays else turn.kept(0, []) for turn, stays in zip(self.rounds, kept, strict=True)]
        return samples, rounds

    def take_back(self) -> None:
        """Forget the last round."""
        self.distances.pop()
        if count := self.rounds.pop().count:
            del self.samples[-count:]

    def spend(self, purpose: str, seconds: float) -> None:
        self.overhead[purpose] += seconds


def measure_set(
    session: Session,
    cases: Sequence[Case],
    settings: MeasureSettings,
    observe: Observer = lambda phase, case: None,
    roles: Mapping[Case, Role] | None = None,
    side_by_side: int = 1,
    watch: CoreWatch | None = None,
) -> Iterator[Measurement]:
    """Yield one measurement per case: failures as they happen, the others when the set is over.

    Args:
        roles: what the cases are in the comparison whose ratios end the sampling; a case without a role (a ceiling)
            takes no part in it. Without any, sampling ends by how well the latencies are known.
        side_by_side: how many processes may hold the set at the same time, where the session can have several.
        watch: looks at where the cores are, if they may move.
    """
    members = [_Member(case, Role.OTHER if roles is None else roles.get(case)) for case in cases]
    # The order is no secret, and the same when the set is measured again.
    order = random.Random(f"{cases[0].key}/{len(cases)}" if cases else "")
    wanted = min(settings.processes, settings.rounds)
    with ExitStack() as ends:
        places = _places(session, min(side_by_side, wanted), ends)
        yield from _Set(members, settings, observe, order, wanted, watch or CoreWatch()).measure(places)


@dataclass
class _Set:
    """Cases that are being measured in the same rounds, and how far that is.

    Attributes:
        members: that have not failed. wanted: processes that share the rounds. taken: rounds so far.
    """

    members: list[_Member]
    settings: MeasureSettings
    observe: Observer
    order: random.Random
    wanted: int
    watch: CoreWatch
    taken: int = 0
    stop: str = ""

    def measure(self, places: Sequence[Session]) -> Iterator[Measurement]:
        """Failures as they happen, then all that is left, in the order of the cases."""
        where = {member.case: place for place, member in enumerate(self.members)}
        first = together = 0
        while not self.stop and self.members:
            for place in places if first else ():
                place.renew()
            for process, place in enumerate(places, first):
                yield from _each(places, self.members, partial(_prepare, place, self.observe))
                together = together or len(self.members)
                # At once, so that rounds are spread over all the time that preparing takes.
                yield from self._round(places, place, process)
            yield from self._sampled(places, first)
            for place in places:
                yield from _each(places, self.members, partial(_finish, place, self.observe))
            first += len(places)
        left = sorted(zip(self.members, self._kept(), strict=True), key=lambda pair: where[pair[0].case])
        yield from (_measured(member, kept, self.stop, together) for member, kept in left)

    def _sampled(self, places: Sequence[Session], first: int) -> Iterator[Measurement]:
        """What is left of the processes' share of the rounds, and more if there will be no other processes."""
        turns = _turns(self.settings, first, len(places))
        left = turns[len(places) :]
        while not self.stop and self.members:
            for process in left:
                yield from self._round(places, places[process - first], process)
            self.stop = self._why_over()
            left = turns[: len(places)]
            if len(places) < self.wanted:
                return

    def _round(self, places: Sequence[Session], place: Session, process: int) -> Iterator[Measurement]:
        """Every case once."""
        self.order.shuffle(self.members)
        for number, member in enumerate(list(self.members)):
            self.observe("sample", member.case)
            step = partial(self._block, place, Round(self.taken, process, place=number))
            yield from _each(places, self.members, step, [member])
        self.taken += 1

    def _block(self, session: Session, turn: Round, member: _Member) -> None:
        """One block of a case, taken again if the cores moved apart meanwhile, as long as that is waited for."""
        while True:
            before = self.watch.wait()
            _sample(session, turn, self.settings, member)
            after = self.watch.look()
            member.distances.append(None if before is None or after is None else max(before, after))
            if not self.watch.apart(member.distances[-1]) or self.watch.patience <= 0:
                return
            member.take_back()

    def _kept(self) -> list[list[bool]]:
        """Which rounds of each member are kept."""
        return one_place(self.watch, [member.distances for member in self.members])

    def _why_over(self) -> str:
        """Why the set has been sampled enough; empty if it has not."""
        settings, kept = self.settings, self._kept()
        limits = SetLimits(
            settings.target_noise,
            max_seconds=settings.max_seconds * len(self.members),
            min_rounds=settings.rounds,
            max_rounds=max(settings.rounds, settings.max_samples),
        )
        seconds = sum(member.overhead["sampling"] for member in self.members)
        # Rounds that will be set aside are made up for: all while there is patience, and then what intervals need.
        whole = min(map(sum, kept), default=0)
        if whole < min(ENOUGH_ROUNDS, settings.rounds) and self.taken < MOST_MADE_UP * settings.rounds:
            return ""
        rounds = whole if self.watch.patience > 0 else self.taken
        return set_stop(_half_widths(self.members, kept, settings), rounds, seconds, limits) or ""


def _places(session: Session, count: int, ends: ExitStack) -> list[Session]:
    """The session and others beside it, as many as it can have; those are closed with ``ends``."""
    places = [session]
    while len(places) < count and (other := session.beside()) is not None:
        places.append(ends.enter_context(closing(other)))
    return places


def _turns(settings: MeasureSettings, first: int, abreast: int) -> list[int]:
    """Which process takes the next round, and the one after it, until each has had its share: they take turns."""
    shares = {process: _share(settings, process) for process in range(first, first + abreast)}
    return [process for turn in range(max(shares.values())) for process, share in shares.items() if turn < share]


def _share(settings: MeasureSettings, process: int) -> int:
    """Rounds of one process, at least one; the first processes take what does not divide."""
    rounds, processes = settings.rounds, min(settings.processes, settings.rounds)
    return rounds // processes + (process % processes < rounds % processes)


def _each(
    places: Sequence[Session],
    members: list[_Member],
    step: Callable[[_Member], None],
    which: Sequence[_Member] | None = None,
) -> Iterator[Measurement]:
    """Do a step for members; one that fails leaves the set, everywhere, as a measurement that says why."""
    for member in list(members if which is None else which):
        try:
            step(member)
        except CaseError as error:
            for place in places:
                place.abandon(member.case)
            members.remove(member)
            yield _failed(member, Status(error.status), words_of(error))


def _prepare(session: Session, observe: Observer, member: _Member) -> None:
    observe("prepare", member.case)
    start = time.perf_counter()
    try:
        prepared = session.prepare(member.case)
    except CaseError:
        member.spend("prepare", time.perf_counter() - start)
        raise
    wall, inside = time.perf_counter() - start, sum(prepared.seconds.values())
    checking = prepared.seconds.get("check", 0.0)
    member.spend("prepare", inside - checking)
    member.spend("check", checking)
    member.spend("isolation", max(0.0, wall - inside))
    member.prepared = prepared
    member.before.append(prepared.check)


def _sample(session: Session, turn: Round, settings: MeasureSettings, member: _Member) -> None:
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


def _copies(block: Block) -> list[int]:
    """The copies that samples ran on; nothing where all ran on the first."""
    return block.copies if any(block.copies) else []


def _finish(session: Session, observe: Observer, member: _Member) -> None:
    observe("check", member.case)
    start = time.perf_counter()
    finished = session.finish(member.case)
    member.spend("check", finished.seconds)
    member.spend("isolation", max(0.0, time.perf_counter() - start - finished.seconds))
    member.after.append(finished.check)
    member.notes += [note for note in map(plain, finished.notes) if note not in member.notes]


def _half_widths(members: Sequence[_Member], kept: Sequence[Sequence[bool]], settings: MeasureSettings) -> list[float]:
    """How well the ratios that tables show are known; the latencies, where there are none."""
    there = [(m, rounds) for m, rounds in zip(members, kept, strict=True) if m.role and m.samples]
    if any(len(member.samples) < settings.min_samples for member in members):
        return []
    compared = compare_set([m.compared_as(m.role, rounds) for m, rounds in there if m.role])
    ratios = shown_ratios(compared)
    return [estimate.relative for estimate in ratios or [found.latency for found in compared.values()]]


def _measured(member: _Member, kept: Sequence[bool], stop: str, together: int) -> Measurement:
    prepared = member.prepared
    assert prepared is not None
    total = len(member.samples) + member.discarded
    if member.discarded > MOSTLY * total:
        return _failed(member, Status.UNSTABLE, f"{member.discarded} of {total} samples were {member.why_discarded}")
    samples, rounds = member.in_rounds(kept)
    found, words = place_of_cores(member.distances, kept)
    return Measurement(
        member.case,
        Status.OK,
        samples=list(samples),
        rounds=rounds,
        stop=stop,
        timer="; ".join(filter(None, (prepared.timer, words))),
        discarded=member.discarded,
        ledger=prepared.ledger,
        checks=[_worst(member.before), _worst(member.after)],
        telemetry=summarise(member.readings) | found,
        overhead=member.overhead,
        interleaved=together,
        notes=member.notes,
    )


def _worst(checks: Sequence[Errors]) -> Errors:
    """The worst of the checks that every process made."""

    def size(check: Errors) -> float:
        value = check.get("relative")
        return float("inf") if value is None else float(value)

    return max(checks, key=size)


def _failed(member: _Member, status: Status, reason: str) -> Measurement:
    ledger, timer = (member.prepared.ledger, member.prepared.timer) if member.prepared else ({}, "")
    overhead = {"prepare": member.overhead["prepare"]} if not member.prepared else {}
    return Measurement(
        member.case,
        status,
        reason,
        discarded=member.discarded,
        ledger=ledger,
        timer=timer,
        overhead=overhead,
        notes=member.notes,
    )
