"""``mglubench variants``, ``verify`` and ``doctor``: what can run here, and whether it is right."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import print_json, print_tables, progress_bar
from mglubench.cli.sweep_command import make_session


def variants(
    device: Annotated[str, typer.Option(help="Say what can run on cpu or cuda.")] = "auto",
    as_json: options.Json = False,
) -> None:
    """List the variants: what each is, where it runs, and why it is unavailable here."""
    from mglubench.cases.vocabulary import device_kind, device_name
    from mglubench.report.summary import variants_table

    name = device_name(device)
    if name == "auto":
        import torch

        name = "cuda" if torch.cuda.is_available() else "cpu"
    table = variants_table(device_kind(name))
    if as_json:
        print_json(table.rows)
    else:
        print_tables([table], "rich")


def verify(
    names: Annotated[str | None, typer.Option("--variants", help="Names. (default: all that run here)")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N. (default: CUDA if there is one)")] = "auto",
    dtype: Annotated[str, typer.Option(help="dtypes to check.")] = "float32,bfloat16,float16",
    nm: Annotated[str | None, typer.Option(help="Numbers of masks. (default: all that a variant takes)")] = None,
    case_timeout: Annotated[float, typer.Option(help="Kill a case after this many seconds.")] = 300.0,
    as_json: options.Json = False,
    executor: Annotated[str, typer.Option(hidden=True)] = "child",
) -> int:
    """Check every available variant against float64 at awkward shapes; exit code 1 if one is wrong."""
    from mglubench.report.summary import verify_tables
    from mglubench.runner.verify import verify as check
    from mglubench.runner.verify import verify_plan

    with tempfile.TemporaryDirectory(prefix="mglubench-") as scratch:
        session = make_session(executor, Path(scratch) / "worker.log", case_timeout)
        try:
            cases = verify_plan(session, names, device, dtype, nm)
            verdicts = []
            with progress_bar(len(cases), "verify") as (progress, task):
                for verdict in check(session, cases):
                    verdicts.append(verdict)
                    progress.update(task, advance=1, description=verdict.case.key)
        finally:
            session.close()
    tables = verify_tables(verdicts)
    if as_json:
        print_json({"variants": tables[0].rows, "failures": tables[1].rows if len(tables) > 1 else []})
    else:
        print_tables(tables, "rich")
    return 1 if any(verdict.failed for verdict in verdicts) else 0


def doctor(as_json: options.Json = False) -> int:
    """Say what this machine has and lacks; exit code 0 if the main job can run, 1 if not."""
    from mglubench.hardware.doctor import can_run, examine
    from mglubench.report.summary import doctor_table

    findings = examine()
    able = can_run(findings)
    if as_json:
        print_json({"can_run": able, "findings": [finding.to_dict() for finding in findings]})
    else:
        print_tables([doctor_table(findings, able)], "rich")
    return 0 if able else 1
