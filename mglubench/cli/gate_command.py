"""``mglubench gate``: a sweep against a baseline, for CI; suspects are measured again before anything is red."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import options
from mglubench.cli.compare_command import (
    parse_fail_on,
    publish_comparison,
    refuse_taken,
    show_comparison,
)
from mglubench.cli.output import chosen_format, say
from mglubench.cli.sweep_command import sweep, sweep_bar
from mglubench.cli.sweep_options import with_options_of
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.cases.sweep_spec import SweepSpec
    from mglubench.executors.introduction import Launch
    from mglubench.runner.regression_gate import OtherSide
    from mglubench.runner.sweep import OpenSession


@with_options_of(sweep)
def gate(
    *,
    baseline: Annotated[
        str, typer.Option(help="Baseline, or runs joined by commas. Without options of a sweep, its sweep is run.")
    ],
    times: Annotated[int, typer.Option(help="Runs of the sweep, and of the suspects a side, 2 to 999.")] = 3,
    base_ref: Annotated[
        str | None, typer.Option(help="Measure suspects in turns with this commit, checked out beside.")
    ] = None,
    base_python: Annotated[
        str | None, typer.Option(help="Measure suspects in turns with the mglubench of this Python.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(parser=options.path, help="Folder of the gate. (default: runs/gate-NAME-TIME)")
    ] = None,
    force: options.ForceComparison = False,
    fail_on: options.FailOn = "slower,missing,incomparable",
    alarms: options.Alarms = 0.05,
    margin: options.Margin = 0.05,
    everything: options.Everything = False,
    as_json: options.Json = False,
    as_markdown: options.SummaryPage = False,
    as_github: options.Github = False,
    wide: options.Wide = False,
    out_json: options.OutJson = None,
    out_markdown: options.OutMarkdown = None,
    junit: options.Junit = None,
    html: options.OutPage = None,
    executor: Annotated[str, typer.Option(hidden=True)] = "child",
    **given: str | bool | float | None,
) -> int:
    """Run a sweep, compare it with a baseline, and measure suspects again before calling them slower.

    Call it again with the same --out to go on after a kill. Exit code: as of `compare`: 0 good; 1 a case is defective;
    2 bad input; 3 a regression, confirmed; 4 something that is required is missing or cannot be compared.
    """
    form = chosen_format(as_json=as_json, as_markdown=as_markdown, as_github=as_github, wide=wide)
    wanted = parse_fail_on(fail_on)
    for path in (out_json, out_markdown, junit, html):
        refuse_taken(path, force=force)
    if base_ref is not None and base_python is not None:
        raise UsageError("choose one of --base-ref and --base-python")
    from mglubench.executors.open import open_session
    from mglubench.results.baselines import runs_of
    from mglubench.results.compare import Rules
    from mglubench.runner.regression_gate import Question, gate

    base = runs_of(baseline)
    spec = _spec({name: value for name, value in given.items() if value is not None}, base[0])
    other = _other(base_ref, base_python, executor)
    question = Question(spec, baseline, base, times, Rules(alarms, margin, force), other)
    with sweep_bar() as bar:
        found = gate(question, lambda seconds: open_session(executor, seconds), out, progress=bar, tell=say)
    show_comparison(found.comparison, wanted, form, everything=everything)
    publish_comparison(found.comparison, wanted, out_json=out_json, out_markdown=out_markdown, junit=junit, html=html)
    say(f"\nStored in {found.folder}; `mglubench baseline save NAME {found.folder / 'new'}` makes it a baseline")
    return found.comparison.exit_code(wanted)


def _spec(given: Mapping[str, str | bool | float], first: Path) -> SweepSpec:
    """What the options of a sweep ask for; without any, the sweep of the baseline's first run."""
    from mglubench.cases.config import merged_spec
    from mglubench.results.store import read_spec
    from mglubench.variants.registry import check_names

    if not given:
        return read_spec(first)
    own = {name: value for name, value in given.items() if name != "config"}
    config = given.get("config")
    return merged_spec(own, None if config is None else str(config), check_names)


def _other(ref: str | None, python: str | None, executor: str) -> OtherSide | None:
    """The baseline's code, by a commit or by a Python."""
    from mglubench.executors.other_side import checkout_side, python_side
    from mglubench.runner.regression_gate import OtherSide
    from mglubench.system.checkout import commit_of, repository_of

    if python is not None:
        launch = python_side(python)
        return OtherSide(launch.name, launch.python, _of_launch(launch, executor))
    if ref is None:
        return None
    here = Path.cwd()
    commit = commit_of(repository_of(here), ref)

    @contextmanager
    def checkout() -> Iterator[OpenSession]:
        with checkout_side(ref, here) as launch, _of_launch(launch, executor) as opened:
            yield opened

    return OtherSide(f"--base-ref {ref} ({commit[:10]})", commit, checkout())


@contextmanager
def _of_launch(launch: Launch, executor: str) -> Iterator[OpenSession]:
    from mglubench.executors.open import open_session

    yield lambda seconds: open_session(executor, seconds, launch)
