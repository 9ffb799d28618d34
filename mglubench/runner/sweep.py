"""The story of a sweep: open a session, plan, open the store, run, count, judge.

The command line, a campaign and :func:`sweep` from Python tell it through :func:`run_sweep`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.cases.case import Case
from mglubench.cases.config import merged_spec
from mglubench.cases.sweep_spec import SweepSpec
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import SetBench
from mglubench.executors.open import Opened, open_session
from mglubench.measure.measurement import Measurement
from mglubench.results.ceilings import remember
from mglubench.runner.fleet_request import asked_for
from mglubench.runner.plan import Plan, make_plan
from mglubench.runner.progress import Progress
from mglubench.runner.run import MeasureSets, in_turn, open_store, store_sets, stored_in
from mglubench.status import Status
from mglubench.system.resources import RUNS_FOLDER
from mglubench.variants.plugins import plugin_files
from mglubench.variants.registry import check_names

if TYPE_CHECKING:
    import pandas as pd

    from mglubench.fleet.open_fleet import FleetOptions

# A session that gives one case so many seconds, opened for the length of a sweep.
OpenSession = Callable[[float], AbstractContextManager[Opened]]
Option = str | int | float | bool | Sequence[str] | Sequence[int]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has come to.

    Attributes:
        folder: of the run. cases: that were planned. counts: rows in the store by status. note: why what the device
            can give was not remembered for later runs, empty if it was.
    """

    folder: Path
    cases: int
    counts: Counter[Status]
    note: str = ""

    @property
    def left(self) -> int:
        """Cases without a row."""
        return self.cases - self.counts.total()

    @property
    def good(self) -> bool:
        """Whether something was measured and no case is somebody's defect."""
        return bool(self.counts[Status.OK]) and not any(status.defect for status in self.counts)

    def words(self) -> str:
        """``12 ok, 1 crash``."""
        return ", ".join(f"{count} {status}" for status, count in self.counts.most_common())


def run_sweep(
    spec: SweepSpec,
    opened: OpenSession,
    out: Path | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    until: Callable[[Sequence[Case]], bool] = lambda group: False,
    narrowed: Callable[[Plan], Plan] = lambda plan: plan,
) -> Swept:
    """Measure what the run in ``out`` (or in a fresh folder) does not have yet, and say what became of it.

    Args:
        until: asked before each group of cases; once it says yes, the rest is left for a resume.
        narrowed: makes of the plan what is measured of it; it may also refuse, before anything is written.

    Raises:
        UsageError: an unknown variant, a shape beyond this machine, a folder that cannot be used.
        UnavailableError: a device that is not here. StoreError: a row could not be written; those before it are kept.
    """
    refuse_resume_of_nothing(out, resume=resume)
    tell = progress or Progress()
    with opened(spec.measure.case_timeout) as session:
        plan = narrowed(make_plan(spec, session.session))
        if session.told:
            plan = replace(plan, host=session.told.host())
        measured = partial(in_turn, SetBench(session.session, fake=plan.machine.fake), tell.phase)
        swept = sweep_planned(plan, lambda folder: measured, out, resume=resume, progress=tell, until=until)
        session.keep_log(swept.folder)
    return swept


def sweep_planned(
    plan: Plan,
    measuring: Callable[[Path], MeasureSets],
    out: Path | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    until: Callable[[Sequence[Case]], bool] = lambda group: False,
) -> Swept:
    """The same for a plan, by whatever measures sets for a run in the folder that it is told."""
    tell = progress or Progress()
    folder = out or fresh_folder(plan.spec.name)
    with open_store(folder, plan, resume=resume) as store:
        done = stored_in(folder)
        counts = Counter(done.values())
        tell.planned(plan, folder, counts.total())

        def finished(measurement: Measurement) -> None:
            counts[measurement.status] += 1
            tell.finished(measurement)

        store_sets(plan, store, measuring(folder), finished=finished, over=tell.set_over, until=until, done=done)
    return Swept(folder, len(plan.cases), counts, remember(folder) or "")


def sweep(
    *,
    config: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    executor: str = "child",
    plugin: str | Path | Sequence[str | Path] | None = None,
    address: str = "",
    spread: str = "shapes",
    kind: str | Sequence[str] = "",
    cores: int = 0,
    set_timeout: float = 0.0,
    **options: Option | None,
) -> pd.DataFrame:
    """Measure a sweep from Python: ``mglubench.sweep(h=2048, d=8192, nm=[1, 4])`` is ``mglubench sweep``.

    Args:
        config: a sweep file, or the name of a shipped one (``quick``, ``paper``), whose values ``options`` override.
        out: run folder (a fresh one below ``runs``). resume: continue the run in ``out``. progress: is told what
            happens. executor: where cases run, ``child`` (a process of their own), ``local`` (this process), or
            ``ray``: on a fleet, as with ``device="cuda:all"``.
        plugin: files whose variants are known as well, ``FILE.py`` or ``FILE.py:NAME``; ``auto`` includes them.
        address, spread, kind, cores, set_timeout: of a fleet; see ``mglubench sweep --help``.
        options: those of ``mglubench sweep``, with underscores: ``h``, ``d``, ``shape``, ``nm``, ``batch``, ``dtype``,
            ``activation``, ``mask``, ``mode``, ``variants``, ``device``, ``max_seconds``, ... A list, a single value,
            or text with commas.

    Returns:
        The run as :func:`~mglubench.results.load_run.load` reads it, raw samples included; its folder is
        ``frame.attrs["run"]["folder"]``. A case that failed is a row with a status and a reason, not an exception.

    Raises:
        UsageError: an option that does not exist, a value that cannot be, a folder that cannot be used.
        UnavailableError: a device that is not here. StoreError: a row could not be written.
        KeyboardInterrupt: finished rows are kept, and ``resume=True`` goes on behind them.
    """
    given = dict(options)
    fleet = asked_for(executor, given, address, spread, kind, cores, set_timeout)
    with plugin_files(plugin):
        spec = merged_spec(given, None if config is None else str(config), check_names)
        return swept_frame(spec, executor, out, resume=resume, progress=progress, fleet=fleet)


def swept_frame(
    spec: SweepSpec,
    executor: str,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    fleet: FleetOptions | None = None,
) -> pd.DataFrame:
    """The same for a sweep that is described already."""
    from mglubench.results.load_run import load

    if out == "":
        raise UsageError("out is empty; name a folder, or leave it out")
    folder = None if out is None else Path(out)
    if fleet is None:
        swept = run_sweep(
            spec, lambda seconds: open_session(executor, seconds), folder, resume=resume, progress=progress
        )
    else:
        from mglubench.runner.fleet_sweep import fleet_sweep

        swept = fleet_sweep(spec, fleet, folder, resume=resume, progress=progress)
    if swept.note:
        warnings.warn(swept.note, stacklevel=3)
    return load(swept.folder, samples=True)


def refuse_resume_of_nothing(out: Path | None, *, resume: bool) -> None:
    """A run that is continued must be named; raises UsageError."""
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the run to continue; `mglubench runs` lists them")


def fresh_folder(name: str) -> Path:
    """A run folder of this name and the time now that does not exist yet."""
    base = RUNS_FOLDER / f"{name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    folder, serial = base, 2
    while folder.exists():
        folder = base.with_name(f"{base.name}-{serial}")
        serial += 1
    return folder
