"""``mglubench sweep``: the main job."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cases.config import KNOWN
from mglubench.cli import fleet_options, options
from mglubench.cli.help_pages import RUN
from mglubench.cli.output import chosen_format, print_json, say
from mglubench.cli.progress_line import duration_words, live, progress_bar
from mglubench.cli.report_command import show_run
from mglubench.cli.sweep_options import number, with_axes
from mglubench.runner.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Screen
    from rich.progress import TaskID

    from mglubench.cases.case import Case
    from mglubench.cases.sweep_spec import SweepSpec
    from mglubench.executors.comparison_set import ComparisonSet
    from mglubench.fleet.open_fleet import FleetOptions
    from mglubench.measure.measurement import Measurement
    from mglubench.runner.plan import Plan
    from mglubench.runner.sweep import Swept
    from mglubench.runner.time_left import TimeLeft
    from mglubench.status import Status

# A sweep that takes longer says so before it begins.
LONG_SECONDS = 120.0


@with_axes
def sweep(
    *,
    config: Annotated[str | None, typer.Option(help="Sweep file, or the name of a shipped one (quick, paper).")] = None,
    target_noise: Annotated[
        float | None, number("target_noise", "Stop a case at this 95 % interval, relative. (default: 0.01)")
    ] = None,
    min_samples: Annotated[int | None, number("min_samples", "Samples before the target counts. (default: 10)")] = None,
    max_samples: Annotated[int | None, number("max_samples", "Hard limit of samples. (default: 1000)")] = None,
    max_seconds: Annotated[
        float | None, number("max_seconds", "Sampling time per case, over all rounds. (default: 0.4)")
    ] = None,
    rounds: Annotated[
        int | None, number("rounds", "Rounds, each of which samples every case, at least. (default: 6)")
    ] = None,
    processes: Annotated[
        int | None, number("processes", "Worker processes that share the rounds. (default: 3)")
    ] = None,
    case_timeout: Annotated[
        float | None, number("case_timeout", "Kill a case after this many seconds. (default: 300)")
    ] = None,
    ceiling: Annotated[
        bool | None, typer.Option(help="Measure what memory and arithmetic can give first.", rich_help_panel=RUN)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.", rich_help_panel=RUN)] = None,
    plugin: options.Plugin = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=options.path, help="Run folder. (default: runs/NAME-TIME)", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.", rich_help_panel=RUN)] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List the cases, guess the time, measure nothing.", rich_help_panel=RUN),
    ] = False,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
    executor: fleet_options.Executor = "child",
    address: fleet_options.Address = "",
    spread: fleet_options.Spread = "shapes",
    kind: fleet_options.Kind = "",
    cores: fleet_options.Cores = 0,
    set_timeout: fleet_options.SetTimeout = 0.0,
    **axes: str | None,
) -> int:
    """Measure every variant over shapes, masks, batches, dtypes and modes; print speed-up and memory tables.

    Exit code: 0; 1 if a case gave a wrong result, crashed, hung or raised, or if none was measured; 2 for bad input.
    """
    given = {name: value for name, value in {**axes, **locals()}.items() if name in KNOWN and value is not None}
    form = chosen_format(as_json=as_json, as_csv=as_csv, as_markdown=as_markdown, wide=wide)
    from mglubench.cases.config import merged_spec
    from mglubench.executors.open import open_session
    from mglubench.runner.fleet_request import asked_for
    from mglubench.runner.sweep import run_sweep
    from mglubench.variants.registry import check_names

    fleet = asked_for(executor, given, address, spread, kind, cores, set_timeout)
    spec = merged_spec(given, config, check_names)
    if dry_run:
        return _dry_run(spec, executor, fleet, form)
    # Whoever asks for a document gets it in silence.
    with sweep_bar(quiet=form in ("json", "csv")) as bar:
        if fleet is not None:
            from mglubench.runner.fleet_sweep import fleet_sweep

            swept = fleet_sweep(spec, fleet, out, resume=resume, progress=bar)
        else:
            swept = run_sweep(spec, lambda seconds: open_session(executor, seconds), out, resume=resume, progress=bar)
    if swept.note:
        say(swept.note)
    show_run(swept.folder, form, footer=_footer(swept))
    return 0 if swept.good else 1


class _Bar(Progress):
    """A sweep's events as a progress bar, which is there once the cases are known; without a screen, as lines."""

    def __init__(self, screen: Screen, task: TaskID, *, lines: bool, told: bool) -> None:
        self._screen, self._task, self._lines, self._told = screen, task, lines, told
        self._begun, self._places = time.monotonic(), dict[int, int]()
        self._left: TimeLeft | None = None
        self._counts: Counter[Status] = Counter()

    def planned(self, plan: Plan, folder: Path, done: int) -> None:
        from mglubench.runner.time_left import TimeLeft, guessed_seconds

        guess = guessed_seconds(plan, done)
        if guess > LONG_SECONDS:
            say(f"{len(plan.cases) - done} cases will take {duration_words(guess)}, by a guess")
        self._left, self._begun = TimeLeft(plan, done), time.monotonic()
        self._places = {group.number: place for place, group in enumerate(plan.sets, start=1)}
        self._screen.update(self._task, total=len(plan.cases), completed=done, description=plan.spec.name, visible=True)

    def phase(self, name: str, case: Case) -> None:
        if self._left is not None:
            self._left.step()
        self._screen.update(self._task, description=f"{name} {case.key}", left=self._seconds_left())

    def finished(self, measurement: Measurement) -> None:
        self._counts[measurement.status] += 1
        self._screen.advance(self._task)

    def fleet(self, what: str, known: Mapping[str, int | float | str]) -> None:
        if self._told and what != "reference":
            from mglubench.results.fleet_record import line_words

            say(line_words({"what": what, **known}))

    def set_over(self, group: ComparisonSet) -> None:
        if self._lines:
            place, last = self._places[group.number], len(self._places)
            counts = ", ".join(f"{count} {status}" for status, count in self._counts.most_common())
            left = self._seconds_left() if place < last else 0.0
            more = f"; {duration_words(left)} left" if left else ""
            say(f"set {place} of {last}: {group.cases[-1].setting.title()}: {counts}{more}")
        self._counts.clear()

    def _seconds_left(self) -> float:
        return self._left.seconds(time.monotonic() - self._begun) if self._left is not None else 0.0


@contextmanager
def sweep_bar(*, quiet: bool = False) -> Iterator[Progress]:
    """A sweep's progress: on a terminal a bar, elsewhere a line for every set that is over, unless ``quiet``."""
    with progress_bar(0, "sweep") as (screen, task):
        screen.update(task, visible=False)
        yield _Bar(screen, task, lines=not quiet and not live(), told=not quiet)


def _dry_run(spec: SweepSpec, executor: str, fleet: FleetOptions | None, form: str) -> int:
    from mglubench.runner.time_left import guessed_seconds

    plan, workers = _planned(spec, executor) if fleet is None else _planned_for_fleet(spec, fleet)
    guess = guessed_seconds(plan) / workers
    if form == "json":
        cases = [case.to_dict() for case in plan.cases]
        print_json({"sweep": plan.spec.to_dict(), "cases": cases, "guessed_seconds": guess})
    else:
        for case in plan.cases:
            sys.stdout.write(case.key + "\n")
        words = f"{len(plan.cases)} cases, nothing measured"
        say(f"{words}; they will take {duration_words(guess)}, by a guess" if guess else words)
    return 0


def _planned(spec: SweepSpec, executor: str) -> tuple[Plan, int]:
    from mglubench.executors.open import open_session
    from mglubench.runner.plan import make_plan

    with open_session(executor, spec.measure.case_timeout) as opened:
        return make_plan(spec, opened.session), 1


def _planned_for_fleet(spec: SweepSpec, options: FleetOptions) -> tuple[Plan, int]:
    from mglubench.runner.fleet_sweep import planned_fleet

    with planned_fleet(spec, options) as (fleet, plan, _):
        return plan, len(fleet.roster.taking_part())


def _footer(swept: Swept) -> str:
    return f"{swept.counts.total()} cases: {swept.words()}. Stored in {swept.folder}"
