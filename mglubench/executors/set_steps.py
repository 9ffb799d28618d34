"""The three steps of a case in a set, done in one place where cases run or in several at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError
from mglubench.executors.session import Block, Session
from mglubench.executors.set_member import SetMember
from mglubench.measure.measurement import Round
from mglubench.system.plain_text import plain

# Blocks of a case in one round of which none was kept before the round goes on without it.
TRIES = 3

Observer = Callable[[str, Case], None]
T = TypeVar("T")


def supply(place: Session, member: SetMember) -> None:
    """Have one place make what several would make at the same time."""
    start = time.perf_counter()
    place.supply(member.case)
    member.spend("prepare", time.perf_counter() - start)


def prepare(places: Sequence[Session], observe: Observer, member: SetMember) -> None:
    """Make the case ready everywhere, checked once."""
    observe("prepare", member.case)
    start = time.perf_counter()
    try:
        found = _everywhere(places, "prepare", member.case, lambda place: place.prepare(member.case))
    except CaseError:
        member.spend("prepare", time.perf_counter() - start)
        raise
    inside = sum(sum(each.seconds.values()) for each in found)
    checking = sum(each.seconds.get("check", 0.0) for each in found)
    share = _share_of_wall(member, places, time.perf_counter() - start, inside)
    member.spend("prepare", (inside - checking) * share)
    member.spend("check", checking * share)
    member.prepared = found[-1]
    member.before += [each.check for each in found]


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


def finish(places: Sequence[Session], observe: Observer, member: SetMember) -> None:
    """Check the case again everywhere, and release it."""
    observe("check", member.case)
    start = time.perf_counter()
    found = _everywhere(places, "finish", member.case, lambda place: place.finish(member.case))
    inside = sum(each.seconds for each in found)
    member.spend("check", inside * _share_of_wall(member, places, time.perf_counter() - start, inside))
    for each in found:
        member.after.append(each.check)
        member.notes += [note for note in map(plain, each.notes) if note not in member.notes]


def _everywhere(
    places: Sequence[Session], step: Literal["prepare", "finish"], case: Case, ask: Callable[[Session], T]
) -> list[T]:
    """What every place answers; several are at it at the same time. All are heard before the first error is raised."""
    if len(places) > 1:
        for place in places:
            place.begin(step, case)
    found: list[T] = []
    errors: list[CaseError] = []
    for place in places:
        try:
            found.append(ask(place))
        except CaseError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return found


def _share_of_wall(member: SetMember, places: Sequence[Session], wall: float, inside: float) -> float:
    """By how much seconds inside the places are more than went by, as several were at it; the rest is isolation."""
    member.spend("isolation", max(0.0, wall - inside))
    return min(1.0, wall / inside) if len(places) > 1 and inside > 0 else 1.0


def _copies(block: Block) -> list[int]:
    """The copies that samples ran on; nothing where all ran on the first."""
    return block.copies if any(block.copies) else []
