"""The same sweep again and again: each time a whole run, in fresh worker processes, in a folder of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import SweepSpec
from mglubench.errors import UsageError
from mglubench.measure.measurement import Measurement
from mglubench.results.runs import numbered_runs
from mglubench.results.store import HEADER, read_header, read_rows
from mglubench.runner.plan import Plan
from mglubench.runner.progress import Progress
from mglubench.runner.run import differences
from mglubench.runner.sweep import OpenSession, Swept, fresh_folder, run_sweep

LEAST, MOST = 2, 999


@dataclass(frozen=True, slots=True)
class Repetition:
    """What became of the repeats.

    Attributes:
        folder: that holds their run folders, 01, 02, ... runs: what each has come to, in their order.
    """

    folder: Path
    runs: Sequence[Swept]

    @property
    def good(self) -> bool:
        """Whether every run measured something and no case is somebody's defect."""
        return all(run.good for run in self.runs)


def repeat(
    spec: SweepSpec,
    times: int,
    opened: OpenSession,
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda line: None,
    narrowed: Callable[[Plan], Plan] = lambda plan: plan,
) -> Repetition:
    """Run a sweep ``times`` times into ``out``/01, ``out``/02, ...; what is finished there is not run again.

    A repeat that was interrupted goes on behind its last row. One that measures nothing ends the repeats, for the
    others would do no better.

    Args:
        opened: a session for each run, so that no worker process outlives its run. out: folder (a fresh one below
            ``runs``). tell: is told which repeat comes next, and what became of it.

    Raises:
        UsageError: too few or too many times, a folder that holds something else, and what
            :func:`~mglubench.runner.sweep.run_sweep` raises.
        KeyboardInterrupt: finished repeats and rows are kept, and the same call goes on behind them.
    """
    if not LEAST <= times <= MOST:
        raise UsageError(f"times is {times}; allowed: {LEAST} to {MOST}, a spread needs two runs")
    folder = out or fresh_folder(f"repeat-{spec.name}")
    if (folder / HEADER).exists():
        raise UsageError(f"{folder} holds a run, not repeats; choose another --out")
    runs: list[Swept] = []
    for number in range(1, times + 1):
        own = folder / f"{number:02d}"
        # The first is always opened: that refuses another sweep before anything is measured.
        swept = _finished(own, folder / "01") if number > 1 else None
        if swept is None:
            line = f"repeat {number} of {times}"
            told = _Told(progress or Progress(), line, tell)
            swept = run_sweep(spec, opened, own, resume=(own / HEADER).exists(), progress=told, narrowed=narrowed)
            tell(f"{line}: {swept.words() or 'no case'}" + f"; {swept.note}" * bool(swept.note))
        runs.append(swept)
        if not any(row.status == "ok" for row in read_rows(own)):
            tell(f"repeat {number} measured nothing; no more of them")
            break
    return Repetition(folder, runs)


class _Told(Progress):
    """A sweep's progress, with a line once its run is there: bad input is refused before."""

    def __init__(self, inner: Progress, line: str, tell: Callable[[str], None]) -> None:
        self._inner, self._line, self._tell = inner, line, tell

    def planned(self, plan: Plan, folder: Path, done: int) -> None:
        self._tell(self._line)
        self._inner.planned(plan, folder, done)

    def phase(self, name: str, case: Case) -> None:
        self._inner.phase(name, case)

    def finished(self, measurement: Measurement) -> None:
        self._inner.finished(measurement)


def stored_repeats(given: Sequence[Path]) -> Repetition:
    """Runs that are stored already: run folders, or folders that hold repeats.

    Raises:
        UsageError: fewer than two, one twice, no run there, or runs of another sweep or device.
    """
    folders = [run for path in given for run in (numbered_runs(path) or [path])]
    if len(folders) < LEAST:
        raise UsageError(f"{len(folders)} run{'s' * (len(folders) != 1)} given; a spread between runs needs two")
    if twice := [path for path, count in Counter(map(Path.resolve, folders)).items() if count > 1]:
        raise UsageError(f"{twice[0]} is given twice; a run says nothing about itself")
    first = read_header(folders[0])
    for path in folders[1:]:
        if found := differences(first, read_header(path)):
            raise UsageError(f"{path} is another sweep than {folders[0]}; it differs in {found}")
    return Repetition(folders[0].parent, [stored_run(path) for path in folders])


def _finished(folder: Path, first: Path) -> Swept | None:
    """A repeat that has all its rows; ``None`` if it must be run, or run on."""
    if not (folder / HEADER).exists():
        return None
    if found := differences(read_header(first), read_header(folder)):
        raise UsageError(f"{folder} holds another sweep; it differs in {found}; choose another --out")
    swept = stored_run(folder)
    return None if swept.left else swept


def stored_run(folder: Path) -> Swept:
    """What a stored run has come to."""
    return Swept(folder, read_header(folder)["cases"], Counter(row.status for row in read_rows(folder)))
