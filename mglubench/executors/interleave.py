"""Measure a group of cases interleaved (A B C A B C ...), so that drift hits all of them alike.

Written against the session protocol alone: the same code drives a process of its own, this process, or a fake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError
from mglubench.executors.session import Prepared, Session
from mglubench.hardware.devices import Reading
from mglubench.measure.measurement import Measurement, Summary
from mglubench.measure.stopping import stop_reason
from mglubench.stats import median
from mglubench.status import Status
from mglubench.system.plain_text import words_of

# A block is one turn of a case: short enough that a second's drift hits all cases, long enough to amortise the turn.
BLOCK_SECONDS = 0.1
MOSTLY = 0.5

Observer = Callable[[str, Case], None]


@dataclass
class _Turn:
    """A case while it is being measured."""

    case: Case
    prepared: Prepared
    prepare_wall: float
    samples: list[float] = field(default_factory=list)
    discarded: int = 0
    why_discarded: str = "taken below 75 % of the SM clock"
    readings: list[Reading] = field(default_factory=list)
    inside: float = 0.0
    wall: float = 0.0


def measure_group(
    session: Session, cases: Sequence[Case], settings: MeasureSettings, observe: Observer = lambda phase, case: None
) -> Iterator[Measurement]:
    """Yield one measurement per case, as soon as it is finished; failures are measurements too."""
    turns: list[_Turn] = []
    for case in cases:
        observe("prepare", case)
        start = time.perf_counter()
        try:
            prepared = session.prepare(case)
        except CaseError as error:
            yield Measurement(case, error.status, words_of(error), overhead={"prepare": time.perf_counter() - start})
        else:
            turns.append(_Turn(case, prepared, time.perf_counter() - start))
    together = len(turns)
    while turns:
        for turn in list(turns):
            observe("sample", turn.case)
            done = _take_turn(session, turn, settings, together)
            if done is not None:
                turns.remove(turn)
                yield done


def _take_turn(session: Session, turn: _Turn, settings: MeasureSettings, together: int) -> Measurement | None:
    """One block of samples; a measurement if the case is over, for whatever reason."""
    most = settings.max_samples - len(turn.samples)
    start = time.perf_counter()
    try:
        block = session.sample(turn.case, BLOCK_SECONDS, most)
    except CaseError as error:
        return _failed(turn, error.status, words_of(error))
    turn.wall += time.perf_counter() - start
    turn.inside += block.seconds
    turn.samples += block.samples
    turn.discarded += block.discarded
    if block.reason:
        turn.why_discarded = f"taken while {block.reason}"
    turn.readings += block.telemetry
    if turn.discarded > MOSTLY * (len(turn.samples) + turn.discarded) and turn.inside >= settings.max_seconds:
        session.abandon(turn.case)
        total = len(turn.samples) + turn.discarded
        return _failed(turn, Status.UNSTABLE, f"{turn.discarded} of {total} samples were {turn.why_discarded}")
    # Time in the session, not wall time: preparing again after another case's crash is not sampling.
    stop = stop_reason(turn.samples, turn.inside, settings)
    return None if stop is None else _finish(session, turn, stop, together)


def _finish(session: Session, turn: _Turn, stop: str, together: int) -> Measurement:
    start = time.perf_counter()
    try:
        finished = session.finish(turn.case)
    except CaseError as error:
        return _failed(turn, error.status, words_of(error))
    wall = time.perf_counter() - start
    prepared = turn.prepared
    inside = sum(prepared.seconds.values()) + turn.inside + finished.seconds
    outside = turn.prepare_wall + turn.wall + wall
    return Measurement(
        turn.case,
        Status.OK,
        samples=[round(value) for value in turn.samples],
        stop=stop,
        timer=prepared.timer,
        discarded=turn.discarded,
        ledger=prepared.ledger,
        checks=[prepared.check, finished.check],
        telemetry=summarise(turn.readings),
        overhead={
            "prepare": sum(prepared.seconds.values()) - prepared.seconds.get("check", 0.0),
            "sampling": turn.inside,
            "check": prepared.seconds.get("check", 0.0) + finished.seconds,
            "isolation": max(0.0, outside - inside),
        },
        interleaved=together,
    )


def _failed(turn: _Turn, status: Status, reason: str) -> Measurement:
    return Measurement(
        turn.case, status, reason, discarded=turn.discarded, ledger=turn.prepared.ledger, timer=turn.prepared.timer
    )


def summarise(readings: Sequence[Reading]) -> Summary:
    """Medians of readings, extremes of a GPU's clock, and every throttle reason that was seen."""
    if not readings:
        return {}
    numbers: dict[str, list[float]] = {}
    for reading in readings:
        for key, value in reading.items():
            if isinstance(value, int | float):
                numbers.setdefault(key, []).append(value)
    summary: Summary = {key: median(values) for key, values in sorted(numbers.items())}
    clocks = [reading["sm_mhz"] for reading in readings if "sm_mhz" in reading]
    if clocks:
        summary |= {"sm_mhz_min": min(clocks), "sm_mhz_max": max(clocks)}
    if not any("throttle" in reading for reading in readings):
        return summary
    summary["throttle"] = sorted({word for reading in readings for word in reading.get("throttle", [])})
    return summary
