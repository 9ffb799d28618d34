"""``mglubench profile``: counters and timelines beside the times of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, console, print_json, print_tables
from mglubench.cli.progress_line import progress_bar
from mglubench.cli.sweep_command import sweep
from mglubench.cli.sweep_options import with_options_of
from mglubench.errors import UsageError
from mglubench.status import Status

if TYPE_CHECKING:
    from mglubench.cases.case import Case
    from mglubench.hardware.devices import Device
    from mglubench.results.rows import CounterRow
    from mglubench.results.store import RunStore


@with_options_of(sweep)
def profile(
    run: Annotated[
        Path | None,
        typer.Argument(parser=options.run_folder, help="Run folder whose measured cases are profiled, or last."),
    ] = None,
    tool: Annotated[str, typer.Option(help="ncu (bytes and throughputs) or nsys (timeline).")] = "ncu",
    out: Annotated[Path | None, typer.Option(parser=options.path, help="Run folder, new or of the same sweep.")] = None,
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
    executor: Annotated[str, typer.Option(hidden=True, help="child, local or fake.")] = "child",
    **given: Any,
) -> int:
    """Run cases under a profiler and keep what it says beside their times, which stay as they are.

    Exit code: 0; 1 if a case could not be profiled (its row says why); 2 for bad input.
    """
    from mglubench.cases.vocabulary import one_of
    from mglubench.runner.profile import TOOLS, exit_code

    one_of(tool, TOOLS, "tool")
    form = chosen_format(as_json=as_json, as_markdown=as_markdown, wide=wide)
    wanted = {name: value for name, value in given.items() if value is not None}
    if run is not None and (wanted or out):
        raise UsageError("give either a run folder or the options of a sweep, not both")
    config = wanted.pop("config", None)
    folder, rows = _stored(run, tool, executor) if run else _planned(wanted, config, out, tool, executor)
    show_counters(rows, tool, form, folder)
    return exit_code(rows)


def _planned(
    wanted: dict[str, Any], config: str | None, out: Path | None, tool: str, executor: str
) -> tuple[Path, list[CounterRow]]:
    """Profile the cases of a sweep, into its run folder or a new one."""
    from mglubench.cases.config import merged_spec
    from mglubench.executors.open import open_session
    from mglubench.results.store import HEADER
    from mglubench.runner.plan import make_plan
    from mglubench.runner.run import open_store
    from mglubench.runner.sweep import fresh_folder
    from mglubench.variants.registry import check_names

    spec = merged_spec(wanted, config, check_names)
    with open_session(executor, spec.measure.case_timeout) as opened:
        plan = make_plan(spec, opened.session)
    folder = out or fresh_folder(plan.spec.name)
    there = (folder / HEADER).exists()
    with open_store(folder, plan, resume=there) as store:
        return folder, _profile(store, plan.cases, tool, plan.machine.devices, spec.measure.case_timeout)


def _stored(run: Path, tool: str, executor: str) -> tuple[Path, list[CounterRow]]:
    """Profile the measured cases of a run, on the device that it was made on."""
    from mglubench.executors.open import open_session
    from mglubench.hardware.devices import devices_in
    from mglubench.results.store import RunStore, read_header, read_spec
    from mglubench.runner.profile import same_devices, stored_cases

    cases = stored_cases(run)
    header = read_header(run)
    devices = devices_in(header["environment"])
    spec = read_spec(run)
    with open_session(executor, spec.measure.case_timeout) as opened:
        same_devices(devices, opened.session.describe(tuple(devices)).devices)
    with RunStore.resume(run) as store:
        return run, _profile(store, cases, tool, devices, spec.measure.case_timeout)


def _profile(
    store: RunStore, cases: Sequence[Case], tool: str, devices: Mapping[str, Device], case_timeout: float
) -> list[CounterRow]:
    from mglubench.runner.profile import capability_of, make_profiler, profile_cases

    profiler = make_profiler(tool, capability_of(devices))
    with progress_bar(len(cases), tool) as (progress, task):

        def observe(group: Sequence[Case]) -> None:
            progress.update(task, description=f"{tool} {group[0].setting.title()}", advance=len(group))

        return profile_cases(store, cases, tool, profiler, case_timeout=case_timeout, observe=observe)


def show_counters(rows: Sequence[CounterRow], tool: str, form: str, folder: Path) -> None:
    """Print what a profiler said of each case."""
    from mglubench.report.counter_rows import counters_table

    if form == "json":
        print_json({"run": str(folder), "tool": tool, "rows": [row.to_dict() for row in rows]})
        return
    print_tables([counters_table(rows, tool)], form)
    good, partly = (sum(row.status == status for row in rows) for status in (Status.OK, Status.PARTIAL))
    also = f", {partly} more in part" if partly else ""
    with suppress(BrokenPipeError):
        console(stderr=True).print(f"\n{good} of {len(rows)} cases profiled{also}. Stored in {folder}", markup=False)
