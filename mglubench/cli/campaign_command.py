"""``mglubench campaign``: every step of a campaign file, in slices, with one command."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, print_json, print_tables, say
from mglubench.errors import UsageError
from mglubench.system.variables import variable

if TYPE_CHECKING:
    from mglubench.campaign.definition import Campaign
    from mglubench.campaign.outcome import StepState
    from mglubench.campaign.step import OpenSession
    from mglubench.executors.session import Session
    from mglubench.hardware.devices import Device

REPORTS_FOLDER = Path("reports")
DESCRIBE_SECONDS = 300.0


def campaign(
    config: Annotated[
        str, typer.Argument(help="Campaign file, or the name of a shipped one.", show_default=True)
    ] = "campaign",
    out: Annotated[
        Path | None, typer.Option(parser=options.path, help="Folder, new or of this campaign. (default: reports/GPU)")
    ] = None,
    slice_seconds: Annotated[float, typer.Option(min=1.0, help="Stop cleanly before so many seconds.")] = 480.0,
    render: Annotated[
        bool, typer.Option("--render", help="Only make tables and pictures of what is in --out; needs no device.")
    ] = False,
    plugin: options.Plugin = None,
    as_json: options.Json = False,
    wide: options.Wide = False,
    executor: Annotated[str, typer.Option(hidden=True, help="child, local or fake.")] = "child",
) -> int:
    """Do the next slice of a campaign: build, verify, measure, profile, tune, render; call it again until it is done.

    Exit code: 0 if all is done; 3 if slices remain; 1 if a step failed (the others are done); 2 for bad input.
    """
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.campaign.definition import find_campaign, read_campaign
    from mglubench.campaign.journal import describe, exit_code, open_journal, run_slice
    from mglubench.campaign.step import Bench, Slice

    plan = read_campaign(find_campaign(config))
    if render:
        return _render(plan, out, form)
    time = Slice(slice_seconds)
    opened = _opener(executor, plan)
    with opened(Path(os.devnull), DESCRIBE_SECONDS) as session:
        machine = describe(session, plan)
    folder = (out or _default_folder(machine.devices[plan.device])).absolute()
    with open_journal(folder, plan, machine) as journal, _own_notebooks(folder):
        states = run_slice(Bench(folder, plan, machine, time, opened, say), journal)
    code = exit_code(states)
    _show(states, folder, code, form)
    return code


def _render(plan: Campaign, out: Path | None, form: str) -> int:
    from mglubench.campaign.journal import exit_code, render_what_is_there, state_of
    from mglubench.campaign.outcome import StepStatus

    if out is None:
        raise UsageError("--render needs --out, the folder of the campaign")
    folder = out.absolute()
    with _own_notebooks(folder):
        outcome = render_what_is_there(folder, plan, say)
    states = state_of(folder, plan.steps)
    _show(states, folder, exit_code(states), form)
    if outcome.reason:
        say(outcome.reason)
    return 0 if outcome.status == StepStatus.OK else 1


def _opener(executor: str, plan: Campaign) -> OpenSession:
    """Sessions of this executor; a fake one pretends to have the device that the campaign asks for."""

    from mglubench.executors.open import make_session

    @contextmanager
    def opened(log: Path, case_timeout: float) -> Iterator[Session]:
        session = make_session(executor, log, case_timeout, cuda=plan.device.startswith("cuda"))
        try:
            yield session
        finally:
            session.close()

    return opened


@contextmanager
def _own_notebooks(folder: Path) -> Iterator[None]:
    """Keep tuned choices, ceilings and repeats in the campaign's folder, so that a slice on a new machine finds them.

    A notebook that the environment places elsewhere stays there.
    """
    from mglubench.kernels import tuning
    from mglubench.results import ceilings, repeat_notebook

    with ExitStack() as ends:
        for book in (ceilings.NOTEBOOK, repeat_notebook.NOTEBOOK, tuning.NOTEBOOK):
            if book.variable not in os.environ:
                ends.enter_context(variable(book.variable, str(folder / book.file)))
        yield


def _default_folder(device: Device) -> Path:
    return REPORTS_FOLDER / (re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-") or "campaign")


def _show(states: Sequence[StepState], folder: Path, code: int, form: str) -> None:
    from mglubench.campaign.target_tables import steps_table

    if form == "json":
        print_json({"folder": str(folder), "exit_code": code, "steps": [asdict(state) for state in states]})
        return
    print_tables([steps_table(states)], form)
    say(f"\nStored in {folder}" + ("; run the same command again for the next slice" if code == 3 else ""))
