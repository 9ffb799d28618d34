"""``mglubench repeat``: how far the same sweep differs from itself on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, print_json, print_tables, say
from mglubench.cli.sweep_command import sweep, sweep_bar
from mglubench.cli.sweep_options import with_options_of
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.cases.sweep_spec import SweepSpec
    from mglubench.results.repeats import Repeats
    from mglubench.runner.repeat import Repetition


@with_options_of(sweep)
def repeat(
    *,
    runs: Annotated[list[Path] | None, typer.Argument(parser=options.path, help="With --of: more stored runs.")] = None,
    times: Annotated[int | None, typer.Option(help="How often, 2 to 999. (default: 12)")] = None,
    out: Annotated[
        Path | None, typer.Option(parser=options.path, help="Folder of the runs. (default: runs/repeat-NAME-TIME)")
    ] = None,
    of: Annotated[
        list[Path] | None,
        typer.Option("--of", parser=options.path, help="Stored runs, or a folder of repeats: no new."),
    ] = None,
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
    executor: Annotated[str, typer.Option(hidden=True)] = "child",
    **given: str | bool | float | None,
) -> int:
    """Run the same sweep N times in fresh processes: the spread between runs, and whether printed intervals cover it.

    Call it again with the same --out to go on. What it finds is remembered for the device. Exit code: 0; 1 if a case
    gave a wrong result, crashed, hung or raised, or if too little was measured; 2 for bad input.
    """
    form = chosen_format(as_json=as_json, as_markdown=as_markdown, wide=wide)
    said = {name: value for name, value in given.items() if value is not None}
    if runs and not of:
        raise UsageError(f"{runs[0]}: name stored runs with --of, or nothing to measure")
    from mglubench.results.repeats import read_repeats

    if of:
        if said or times is not None or out is not None:
            raise UsageError("--of reads stored runs and measures nothing; leave the other options out")
        from mglubench.runner.repeat import stored_repeats

        found = stored_repeats([*of, *(runs or [])])
        repeats = read_repeats(run.folder for run in found.runs)
    else:
        from mglubench.cases.config import merged_spec
        from mglubench.variants.registry import check_names

        config = said.pop("config", None)
        spec = merged_spec(said, None if config is None else str(config), check_names)
        found = _measured(spec, 12 if times is None else times, out, executor)
        repeats = read_repeats(run.folder for run in found.runs)
        _remember(found, repeats)
    _show(found, repeats, form)
    return 0 if found.good and repeats.latencies else 1


def _measured(spec: SweepSpec, times: int, out: Path | None, executor: str) -> Repetition:
    from mglubench.executors.open import open_session
    from mglubench.runner.repeat import repeat as run_repeats

    with sweep_bar() as bar:
        return run_repeats(spec, times, lambda seconds: open_session(executor, seconds), out, progress=bar, tell=say)


def _remember(found: Repetition, repeats: Repeats) -> None:
    from mglubench.results.repeat_notebook import remember
    from mglubench.results.store import read_header

    if why := remember(repeats, read_header(found.runs[-1].folder), found.folder.name):
        say(why)


def _show(found: Repetition, repeats: Repeats, form: str) -> None:
    from mglubench.report.repeat_tables import figure_row, repeat_tables, summary_row
    from mglubench.results.repeats import summary

    if form == "json":
        kinds = {"ratios": repeats.ratios, "latencies": repeats.latencies}
        print_json(
            {
                "folder": str(found.folder),
                "runs": [str(run.folder) for run in found.runs],
                "summary": {name: summary_row(s) if (s := summary(kind)) else None for name, kind in kinds.items()},
                **{name: [figure_row(figure) for figure in kind] for name, kind in kinds.items()},
            }
        )
        return
    fake = ["FAKE RUNS: these figures come from the fake executor, nothing was measured"] if _fake(found) else []
    print_tables(repeat_tables(repeats), form, heading=fake)
    if not repeats.latencies:
        say("no case was measured twice, so nothing is known of a spread")
    count = len(found.runs)
    say(f"\n{count} run{'s' * (count != 1)} in {found.folder}")


def _fake(found: Repetition) -> bool:
    from mglubench.results.store import read_header

    return bool(read_header(found.runs[0].folder).get("fake"))
