"""A gate: measure, hold against a baseline, and confirm before an alarm.

The suspects of the first comparison are measured again. Where the baseline's code is at hand, both codes take turns,
base first, then new first (A B B A): what the machine does meanwhile hits both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from mglubench.cases.sweep_spec import SweepSpec
from mglubench.errors import UsageError
from mglubench.results.compare import Rules, compare_runs
from mglubench.results.run_comparison import Comparison
from mglubench.results.run_figures import RunFigures, read_figures
from mglubench.results.store import HEADER
from mglubench.runner.confirmation import Suspicion, confirmed, suspicion
from mglubench.runner.gate_folder import GateFolder, GateRecord, digest_of
from mglubench.runner.plan import Plan
from mglubench.runner.progress import Progress
from mglubench.runner.repeat import repeat, stored_run
from mglubench.runner.sweep import OpenSession, fresh_folder, run_sweep

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OtherSide:
    """The baseline's code.

    Attributes:
        name: as it is told (``--base-ref main``). known_by: what it is known by in a gate that goes on: a commit, a
            Python. opened: its sessions, for as long as this is open.
    """

    name: str
    known_by: str
    opened: AbstractContextManager[OpenSession]


@dataclass(frozen=True, slots=True)
class Question:
    """What a gate asks.

    Attributes:
        spec: the sweep. name, base: of the baseline, and its runs. times: runs a side. rules: of the comparison.
        other: the baseline's code, where it is at hand.
    """

    spec: SweepSpec
    name: str
    base: Sequence[Path]
    times: int
    rules: Rules
    other: OtherSide | None = None


@dataclass(frozen=True, slots=True)
class Gated:
    """What a gate found.

    Attributes:
        comparison: that is to be told, suspects confirmed or cleared. first: before anything was measured again.
        suspects: keys of the cases that were.
    """

    folder: Path
    comparison: Comparison
    first: Comparison
    suspects: tuple[str, ...]


def gate(
    question: Question,
    opened: OpenSession,
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    tell: Tell = lambda line: None,
) -> Gated:
    """Run the sweep, compare it with the baseline, measure suspects again, and say what is left of them.

    Args:
        opened: sessions of this code. out: folder (a fresh one below ``runs``); one that holds this gate goes on where
            it was interrupted. tell: is told what happens.

    Raises:
        UsageError: another gate or something else is in ``out``, no case is in the baseline, the other code cannot be
            used, and what a sweep raises. StoreError: a stored run is damaged, or ``out`` is in use.
        KeyboardInterrupt: the same call goes on.
    """
    other = question.other
    base = read_figures(question.base)
    record = GateRecord(
        baseline=tuple(map(digest_of, question.base)), times=question.times, other=other.known_by if other else ""
    )
    room = GateFolder(out or fresh_folder(f"gate-{question.spec.name}"), record)
    room.check()

    def begun(plan: Plan) -> Plan:
        _require_overlap(plan, base, question.name)
        room.begin()
        return plan

    with room, ExitStack() as stack:
        sessions = {"new": opened}
        if other:
            sessions["base"] = stack.enter_context(other.opened)
            # Code that cannot be talked to is refused before hours of measuring.
            with sessions["base"](question.spec.measure.case_timeout):
                pass
        runs = repeat(
            question.spec, question.times, opened, room.run("new"), progress=progress, tell=tell, narrowed=begun
        ).runs
        first = _compared(question, base, read_figures([run.folder for run in runs]))
        found = suspicion(first, in_turns=other is not None, keys=room.record.suspects)
        room.suspect(sorted(found.keys))
        if not found.keys:
            return Gated(room.folder, first, first, ())
        how = f"in turns with {other.name}" if other else f"in {question.times} runs of their own"
        tell(f"{len(found.keys)} suspected case{'s' * (len(found.keys) != 1)}, measured again {how}")
        sides = _again(question, sessions, room, found, progress or Progress(), tell)
    again = None
    # Where no suspect could be measured again, there is nothing to compare.
    with suppress(UsageError):
        again = _compared(question, sides.get("base", base), sides["new"], found.keys)
    return Gated(room.folder, confirmed(first, again, found.keys, how), first, tuple(sorted(found.keys)))


def _again(
    question: Question,
    sessions: dict[str, OpenSession],
    room: GateFolder,
    found: Suspicion,
    progress: Progress,
    tell: Tell,
) -> dict[str, list[RunFigures]]:
    """Runs of the suspects by every side, the sides in turns."""
    folders: dict[str, list[Path]] = {side: [] for side in sessions}
    for number in range(1, question.times + 1):
        for side in sorted(sessions, reverse=number % 2 == 0):
            own = room.run("again", side, f"{number:02d}")
            folders[side].append(own)
            if (own / HEADER).exists() and not stored_run(own).left:
                continue
            swept = run_sweep(
                question.spec,
                sessions[side],
                own,
                resume=(own / HEADER).exists(),
                progress=progress,
                narrowed=found.narrowed,
            )
            tell(f"again {number} of {question.times}, {side}: {swept.words() or 'no case'}")
    return {side: read_figures(own) for side, own in folders.items()}


def _compared(
    question: Question, base: Sequence[RunFigures], new: Sequence[RunFigures], suspects: Collection[str] = ()
) -> Comparison:
    return compare_runs(base, new, names=(question.name, "this code"), rules=question.rules, suspects=suspects)


def _require_overlap(plan: Plan, base: Sequence[RunFigures], name: str) -> None:
    known = {key for run in base for key in run.cases}
    if not any(case.key in known for case in plan.cases):
        raise UsageError(
            f"no case of this sweep is in the baseline {name}; `mglubench baseline show {name}` lists its cases"
        )
