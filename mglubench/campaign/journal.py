"""A campaign: steps in order, in slices, with a journal that says what is done.

FOLDER/campaign.jsonl is append-only and synced row by row, under the rules of a run's rows. Its first row holds the
campaign and the device; then every step has a row ``begun`` when a slice starts on it, and one with what became of it.
A step that is cut short by the slice's end goes on in the next call; one that fails is a row, and the campaign goes on.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mglubench.campaign.definition import Campaign, Step
from mglubench.campaign.outcome import Outcome, StepState, StepStatus
from mglubench.campaign.render_step import render
from mglubench.campaign.step import Bench, Slice
from mglubench.campaign.steps_by_process import build, doctor, sanitize, tune
from mglubench.campaign.steps_by_session import aa, agree, profile, sweep, verify
from mglubench.errors import MglubenchError, UnavailableError, UsageError
from mglubench.executors.machine import Machine
from mglubench.executors.session import Session
from mglubench.hardware.devices import Device
from mglubench.system.lines import Lines, decoded, keyed_object, take_lock
from mglubench.system.plain_text import plain, text_of, words_of

JOURNAL = "campaign.jsonl"
HEADER_KEY = "campaign"
# A step that ended the whole program so often, or got nothing done in so many slices, is given up.
TRIES = 3
STEPS = {
    "doctor": doctor,
    "build": build,
    "verify": verify,
    "sanitize": sanitize,
    "sweep": sweep,
    "profile": profile,
    "tune": tune,
    "agree": agree,
    "aa": aa,
    "render": render,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    campaign: dict[str, object]
    device: str | None
    fake: bool
    key: str = HEADER_KEY
    status: str = "header"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    key: str
    status: StepStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended(_Begun):
    reason: str
    artefacts: list[str]
    progress: int
    seconds: float


def _read(folder: Path) -> Iterator[_Header | _Begun | _Ended]:
    """The journal's rows; a damaged one is left out with a warning, and its step is done again."""
    return decoded(folder / JOURNAL, _checked)


def _checked(line: bytes) -> _Header | _Begun | _Ended:
    row = keyed_object(line)
    if row["key"] == HEADER_KEY:
        return msgspec.convert(row, _Header)
    return msgspec.convert(row, _Begun if row["status"] == StepStatus.BEGUN else _Ended)


def _stored_header(folder: Path) -> _Header | None:
    """What the journal begins with; ``None`` where there is none.

    Raises:
        UsageError: it begins with something else.
    """
    first = next(_read(folder), None)
    if first is not None and not isinstance(first, _Header):
        raise UsageError(f"{folder / JOURNAL} does not begin with a campaign: it is damaged; choose another --out")
    return first


def describe(session: Session, campaign: Campaign) -> Machine:
    """What the session says of the campaign's device.

    Raises:
        UnavailableError: the device is not here.
    """
    return session.describe((campaign.device,))


@contextmanager
def open_journal(folder: Path, campaign: Campaign, machine: Machine) -> Iterator[Lines]:
    """The journal of a new campaign, or of the same one on the same device, for appending.

    Raises:
        UsageError: the folder holds another campaign, or cannot be written. StoreError: another process writes to it.
    """
    header = _header(campaign, machine.devices[campaign.device].name, fake=machine.fake)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = take_lock(folder)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}; choose another --out") from None
    lines = Lines(folder / JOURNAL)
    try:
        stored = _stored_header(folder)
        if stored and (differing := _differences(stored, header)):
            raise UsageError(f"{folder} holds another campaign; it differs in {differing}; choose another --out")
        lines.open()
        if not stored:
            lines.append({"key": header.key, "status": header.status, **asdict(header), "time": _now()})
        yield lines
    finally:
        lines.close()
        lock.release()


def run_slice(bench: Bench, journal: Lines) -> list[StepState]:
    """Do steps until all are finished or the slice is over; returns the state of every step."""
    steps = bench.campaign.steps
    for number, step in enumerate(steps, 1):
        state = state_of(bench.folder, [step])[0]
        if state.status.finished:
            bench.history[step.name] = state
            continue
        if not bench.slice.fits(0.0):
            break
        bench.say(f"{number}/{len(steps)} {step.kind} {step.name}")
        journal.append({"key": step.name, "status": StepStatus.BEGUN, "time": _now()})
        outcome, seconds = _do(bench, step)
        bench.slice.worked = True
        outcome = _give_up(bench.folder, step, outcome)
        journal.append({"key": step.name, **asdict(outcome), "seconds": round(seconds, 3), "time": _now()})
        bench.history[step.name] = state_of(bench.folder, [step])[0]
        if outcome.status == StepStatus.PART:
            break
    return state_of(bench.folder, steps)


def render_what_is_there(folder: Path, campaign: Campaign, say: Callable[[str], None]) -> Outcome:
    """The tables and pictures of a campaign as far as it has come; needs no device and leaves the journal alone.

    Raises:
        UsageError: the folder holds no campaign, or another one.
    """
    stored = _stored_header(folder)
    if not stored:
        raise UsageError(f"{folder} holds no campaign; name its folder with --out")
    header = _header(campaign, stored.device, fake=stored.fake)
    if differing := _differences(stored, header):
        raise UsageError(f"{folder} holds another campaign; it differs in {differing}; choose another --out")
    device = Device("cuda" if campaign.device.startswith("cuda") else "cpu", stored.device or campaign.device)
    machine = Machine({campaign.device: device}, {}, {}, fake=stored.fake)
    bench = Bench(folder, campaign, machine, Slice(math.inf), _no_session, say)
    bench.history.update({state.step: state for state in state_of(folder, campaign.steps) if state.kind != "render"})
    return render(bench, Step("render", "render"))


def _no_session(log: Path, case_timeout: float) -> AbstractContextManager[Session]:
    raise UnavailableError("rendering opens no session")


def _header(campaign: Campaign, device: str | None, *, fake: bool) -> _Header:
    """What the journal of a campaign on this device begins with."""
    # As it will be read again: tuples become lists.
    return _Header(campaign=json.loads(json.dumps(campaign.to_dict())), device=device, fake=fake)


def state_of(folder: Path, steps: Sequence[Step]) -> list[StepState]:
    """Every step as the journal has it."""
    ended = [row for row in _read(folder) if isinstance(row, _Ended)]
    return [_state(step, [row for row in ended if row.key == step.name]) for step in steps]


def exit_code(states: Sequence[StepState]) -> int:
    """0 if all is done, 3 if slices remain, 1 if a step failed."""
    statuses = {state.status for state in states}
    return 3 if StepStatus.LEFT in statuses else 1 if StepStatus.FAILED in statuses else 0


def _do(bench: Bench, step: Step) -> tuple[Outcome, float]:
    """Run one step; whatever it raises is its outcome."""
    start = time.perf_counter()
    if _killed(bench.folder, step) > TRIES:
        return Outcome(StepStatus.FAILED, f"the program ended {TRIES} times in this step"), 0.0
    try:
        outcome = STEPS[step.kind](bench, step)
    except KeyboardInterrupt:
        bench.say("interrupted; finished rows are kept")
        outcome = Outcome(StepStatus.PART, "interrupted")
    except UnavailableError as error:
        outcome = Outcome(StepStatus.ABSENT, words_of(error))
    except MglubenchError as error:
        outcome = Outcome(StepStatus.FAILED, words_of(error))
    except Exception as error:
        outcome = Outcome(StepStatus.FAILED, plain(f"{type(error).__name__}: {text_of(error)}"))
    return outcome, time.perf_counter() - start


def _killed(folder: Path, step: Step) -> int:
    """How many times in a row a step was begun, this time included, without a word of what became of it."""
    count = 0
    for row in _read(folder):
        if row.key == step.name:
            count = count + 1 if row.status == StepStatus.BEGUN else 0
    return count


def _give_up(folder: Path, step: Step, outcome: Outcome) -> Outcome:
    """Fail a step that has got nothing done in the last slices."""
    if outcome.status != StepStatus.PART or outcome.reason == "interrupted":
        return outcome
    ended = (row for row in _read(folder) if isinstance(row, _Ended) and row.key == step.name)
    earlier = [row for row in ended if row.status == StepStatus.PART]
    stuck = [row for row in earlier[1 - TRIES :] if row.progress == outcome.progress]
    if len(stuck) < TRIES - 1:
        return outcome
    return Outcome(
        StepStatus.FAILED, f"nothing was done in {TRIES} slices: {outcome.reason}", outcome.artefacts, outcome.progress
    )


def _state(step: Step, ended: Sequence[_Ended]) -> StepState:
    if not ended:
        return StepState(step.name, step.kind, StepStatus.LEFT, 0.0)
    last = ended[-1]
    status = StepStatus.LEFT if last.status == StepStatus.PART else last.status
    seconds = sum(row.seconds for row in ended)
    return StepState(step.name, step.kind, status, seconds, last.reason, tuple(last.artefacts), last.progress)


def _differences(stored: _Header, here: _Header) -> str:
    names = [
        name
        for name, same in (("device", stored.device == here.device), ("fake", stored.fake == here.fake))
        if not same
    ]
    names += [key for key, value in here.campaign.items() if stored.campaign.get(key) != value]
    return ", ".join(names)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
