"""Measure a comparison set in rounds: every case once a round, in an order that changes, over several processes.

Cases that are compared must have been measured at the same time. So no case leaves before the others: a round gives
each of them one block, short enough that a second's drift hits all, and sampling ends for the set as a whole. The
rounds are dealt out to several processes, because a process is one draw of addresses, of compiled code and of thread
pools, and its samples cannot tell what another draw would have given. Each process prepares the cases anew and checks
them before and after its rounds.

As many of them as the memory holds live side by side, make ready at the same time and take rounds in turn. One after
the other, each would have a stretch of the run to itself, and what the machine does over time could not be told from
what they differ by. Nobody makes ready while another is measured.

Written against the session protocol alone: the same code drives a process of its own, this process, or a fake.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.comparison import Role, compare_set, shown_ratios
from mglubench.errors import CaseError
from mglubench.executors.core_watch import CoreWatch, one_place
from mglubench.executors.session import Session
from mglubench.executors.set_member import SetMember
from mglubench.executors.set_steps import Observer, Step, everywhere, sample, supply
from mglubench.measure.measurement import Measurement, Round
from mglubench.measure.stopping import SetLimits, set_stop
from mglubench.notices import ENOUGH_ROUNDS
from mglubench.status import Status
from mglubench.system.plain_text import words_of

# Rounds that are taken at most, over those that were asked for, because some will be set aside.
MOST_MADE_UP = 1.5


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
    members = [SetMember(case, Role.OTHER if roles is None else roles.get(case)) for case in cases]
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

    members: list[SetMember]
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
            wave = places[: max(1, self.wanted - first)]
            for place in wave if first else ():
                place.renew()
            for member in self.members if len(wave) > 1 else ():
                supply(wave[0], member)
            yield from self._everywhere(places, wave, "prepare")
            together = together or len(self.members)
            yield from self._sampled(places, wave, first)
            yield from self._everywhere(places, wave, "finish")
            first += len(wave)
        left = sorted(zip(self.members, self._kept(), strict=True), key=lambda pair: where[pair[0].case])
        yield from (member.measured(kept, self.stop, together) for member, kept in left)

    def _everywhere(self, places: Sequence[Session], wave: Sequence[Session], step: Step) -> Iterator[Measurement]:
        """A step in all places of a wave; who fails leaves the set, and the places once they are idle."""
        failed = []
        for member, error in everywhere(wave, list(self.members), step, self.observe):
            failed.append(member)
            yield self._lost(member, error)
        for member in failed:
            _abandon(places, member)

    def _lost(self, member: SetMember, error: CaseError) -> Measurement:
        """One that failed leaves the set, as a measurement that says why."""
        self.members.remove(member)
        return member.failed(Status(error.status), words_of(error))

    def _sampled(self, places: Sequence[Session], wave: Sequence[Session], first: int) -> Iterator[Measurement]:
        """The processes' share of the rounds; more if there will be no others, or if some were set aside."""
        left = turns = _turns(self.settings, first, len(wave))
        while self.members:
            for process in left:
                yield from self._round(places, wave[process - first], process)
            left, self.stop = turns[: len(wave)], self._why_over()
            makes_up = first + len(wave) >= self.wanted and self.taken < self._most_made_up
            if self.stop or not (makes_up or len(wave) == self.wanted):
                return

    def _round(self, places: Sequence[Session], place: Session, process: int) -> Iterator[Measurement]:
        """Every case once."""
        self.order.shuffle(self.members)
        for number, member in enumerate(list(self.members)):
            self.observe("sample", member.case)
            try:
                self._block(place, Round(self.taken, process, place=number), member)
            except CaseError as error:
                _abandon(places, member)
                yield self._lost(member, error)
        self.taken += 1

    def _block(self, session: Session, turn: Round, member: SetMember) -> None:
        """One block of a case, taken again if the cores moved apart meanwhile, as long as that is waited for."""
        while True:
            before = self.watch.wait()
            sample(session, turn, self.settings, member)
            after = self.watch.look()
            member.distances.append(None if before is None or after is None else max(before, after))
            if not self.watch.apart(member.distances[-1]) or self.watch.patience <= 0:
                return
            member.take_back()

    @property
    def _most_made_up(self) -> float:
        return MOST_MADE_UP * self.settings.rounds

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
        if whole < min(ENOUGH_ROUNDS, settings.rounds) and self.taken < self._most_made_up:
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


def _abandon(places: Sequence[Session], member: SetMember) -> None:
    for place in places:
        place.abandon(member.case)


def _half_widths(
    members: Sequence[SetMember], kept: Sequence[Sequence[bool]], settings: MeasureSettings
) -> list[float]:
    """How well the ratios that tables show are known; the latencies, where there are none."""
    there = [(m, rounds) for m, rounds in zip(members, kept, strict=True) if m.role and m.samples]
    if any(len(member.samples) < settings.min_samples for member in members):
        return []
    compared = compare_set([m.compared_as(m.role, rounds) for m, rounds in there if m.role])
    ratios = shown_ratios(compared)
    return [estimate.relative for estimate in ratios or [found.latency for found in compared.values()]]
