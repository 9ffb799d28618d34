"""``mglubench sweep``: the main job."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, console, print_json, progress_bar
from mglubench.cli.run_commands import RUNS_FOLDER, show_run
from mglubench.errors import UsageError
from mglubench.executors.session import DEFECTS

if TYPE_CHECKING:
    from mglubench.cases.sweep_spec import SweepSpec
    from mglubench.executors.session import Session
    from mglubench.runner.plan import Plan


def sweep(
    h: Annotated[str | None, typer.Option(help="Hidden sizes, such as 2048,4096; pairs up with --d.")] = None,
    d: Annotated[str | None, typer.Option(help="Intermediate sizes, such as 8192,14336.")] = None,
    shape: Annotated[str | None, typer.Option(help="Pairs HxD, such as 2048x8192,4096x14336.")] = None,
    nm: Annotated[str | None, typer.Option(help="Numbers of masks, 1 to 16. (default: 1,2,4,8)")] = None,
    batch: Annotated[str | None, typer.Option(help="Tokens. (default: 1)")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, float16. (default: by device)")] = None,
    activation: Annotated[str | None, typer.Option(help="silu, gelu, relu. (default: silu)")] = None,
    mask: Annotated[str | None, typer.Option(help="bernoulli:P, ones, zeros. (default: bernoulli:0.5)")] = None,
    mode: Annotated[str | None, typer.Option(help="cold, hot, graph (CUDA). (default: cold)")] = None,
    variants: Annotated[
        str | None, typer.Option(help="Names; auto is all that run here, -NAME leaves one out. (default: auto)")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N. (default: CUDA if there is one)")] = None,
    config: Annotated[str | None, typer.Option(help="Sweep file, or the name of a shipped one (quick, paper).")] = None,
    target_noise: Annotated[
        str | None, typer.Option(help="Stop a case at this 95 % interval, relative. (default: 0.01)")
    ] = None,
    min_samples: Annotated[str | None, typer.Option(help="Samples before the target counts. (default: 10)")] = None,
    max_samples: Annotated[str | None, typer.Option(help="Hard limit of samples. (default: 1000)")] = None,
    max_seconds: Annotated[str | None, typer.Option(help="Sampling time per case. (default: 0.7)")] = None,
    case_timeout: Annotated[
        str | None, typer.Option(help="Kill a case after this many seconds. (default: 300)")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="Seed of all inputs. (default: 0)")] = None,
    ceiling: Annotated[bool | None, typer.Option(help="Measure what memory and arithmetic can give first.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. (default: runs/NAME-TIME)")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cases, measure nothing.")] = False,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
    as_markdown: options.Markdown = False,
    executor: Annotated[str, typer.Option(hidden=True, help="child, local or fake.")] = "child",
) -> int:
    """Measure every variant over shapes, masks, batches, dtypes and modes; print speed-up and memory tables.

    Exit code: 0; 1 if a case gave a wrong result, crashed, hung or raised, or if none was measured; 2 for bad input.
    """
    given = {k: v for k, v in locals().items() if k in SPEC_OPTIONS and v is not None}
    form = chosen_format(as_json=as_json, as_csv=as_csv, as_markdown=as_markdown)
    spec = read_spec(given, config)
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the run to continue; `mglubench runs` lists them")
    with open_session(executor, spec) as (session, keep_log):
        from mglubench.runner.plan import make_plan

        plan = make_plan(spec, session)
        if dry_run:
            return _dry_run(plan, form)
        folder = out or fresh_folder(plan.spec.name)
        counts = _measure(plan, folder, session, resume=resume)
        keep_log(folder)
        _remember_ceilings(folder)
    show_run(folder, form, footer=_footer(counts, folder))
    return 1 if any(counts[status] for status in DEFECTS) or not counts["ok"] else 0


SPEC_OPTIONS = (
    *("h", "d", "shape", "nm", "batch", "dtype", "activation", "mask", "mode", "variants", "device", "seed", "name"),
    *("target_noise", "min_samples", "max_samples", "max_seconds", "case_timeout", "ceiling"),
)


def read_spec(given: dict[str, Any], config: str | None) -> SweepSpec:
    """The sweep file's values, overridden by the command line's."""
    from mglubench.cases.config import build_spec, find_sweep, read_sweep

    values: dict[str, Any] = {}
    if config is not None:
        values = read_sweep(find_sweep(config))
        if "shape" in given:
            values = {k: v for k, v in values.items() if k not in ("h", "d")}
        if "h" in given or "d" in given:
            values.pop("shape", None)
    return build_spec({**values, **given})


@contextmanager
def open_session(executor: str, spec: SweepSpec) -> Iterator[tuple[Session, Any]]:
    """The session that ``executor`` names, and a function that keeps the workers' log in a folder."""
    with tempfile.TemporaryDirectory(prefix="mglubench-") as scratch:
        log = Path(scratch) / "worker.log"
        session = make_session(executor, log, spec.measure.case_timeout)

        def keep_log(folder: Path) -> None:
            session.close()
            if log.exists() and log.stat().st_size:
                with log.open("rb") as source, (folder / "worker.log").open("ab") as target:
                    shutil.copyfileobj(source, target)

        try:
            yield session, keep_log
        finally:
            session.close()


def make_session(executor: str, log: Path, case_timeout: float, *, cuda: bool = False) -> Session:
    """A session by name; ``fake`` takes its faults from MGLUBENCH_FAKE_FAULTS (``variant=status,...``).

    Args:
        cuda: whether a fake session pretends that there is a GPU; MGLUBENCH_FAKE_CUDA makes it so too.
    """
    from mglubench.cases.vocabulary import one_of

    one_of(executor, ("child", "local", "fake"), "executor")
    if executor == "child":
        from mglubench.executors.child import ChildSession

        return ChildSession(log, case_timeout)
    if executor == "local":
        from mglubench.executors.local import LocalSession

        return LocalSession()
    from mglubench.executors.fake import FakeSession

    faults = [pair.partition("=") for pair in os.environ.get("MGLUBENCH_FAKE_FAULTS", "").split(",") if pair]
    cuda = cuda or "MGLUBENCH_FAKE_CUDA" in os.environ
    return FakeSession({name: status for name, _, status in faults}, cuda=cuda)


def _measure(plan: Plan, folder: Path, session: Session, *, resume: bool) -> Counter[str]:
    """Run the plan under a progress bar; counts of cases by status."""
    from mglubench.results.store import read_rows
    from mglubench.runner.run import open_store, run_plan

    with open_store(folder, plan, resume=resume) as store:
        counts = Counter(row["status"] for row in read_rows(folder))
        with progress_bar(len(plan.cases), plan.spec.name) as (progress, task):
            progress.update(task, completed=counts.total())

            def finished(measurement: Any) -> None:
                counts[measurement.status] += 1
                progress.advance(task)

            def observe(phase: str, case: Any) -> None:
                progress.update(task, description=f"{phase} {case.key}")

            run_plan(plan, store, session, observe=observe, finished=finished)
    return counts


def _remember_ceilings(folder: Path) -> None:
    """What the devices were measured to give, for later runs and predictions; the run is good without."""
    from mglubench.results.ceilings import remember

    if why := remember(folder):
        console(stderr=True).print(why, markup=False, soft_wrap=True)


def _dry_run(plan: Plan, form: str) -> int:
    if form == "json":
        print_json({"sweep": plan.spec.to_dict(), "cases": [case.to_dict() for case in plan.cases]})
    else:
        for case in plan.cases:
            sys.stdout.write(case.key + "\n")
        console(stderr=True).print(f"{len(plan.cases)} cases, nothing measured", markup=False)
    return 0


def fresh_folder(name: str) -> Path:
    """A run folder of this name and the time now that does not exist yet."""
    base = RUNS_FOLDER / f"{name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    folder, serial = base, 2
    while folder.exists():
        folder = base.with_name(f"{base.name}-{serial}")
        serial += 1
    return folder


def _footer(counts: Counter[str], folder: Path) -> str:
    words = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{counts.total()} cases: {words}. Stored in {folder}"
