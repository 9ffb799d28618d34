"""``mglubench verify``: whether every variant is right."""

from __future__ import annotations

from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.help_pages import WHAT
from mglubench.cli.output import chosen_format, print_json, print_tables, publish_json
from mglubench.cli.progress_line import progress_bar


def verify(
    names: Annotated[
        str | None,
        typer.Option(
            "--variants", help="Names. (default: all that run here)", metavar=options.WORDS, rich_help_panel=WHAT
        ),
    ] = None,
    device: Annotated[str, options.what("cpu, cuda or cuda:N. (default: CUDA if there is one)", "TEXT")] = "auto",
    dtype: Annotated[str, options.what("dtypes to check.")] = "float32,bfloat16,float16",
    nm: Annotated[
        str | None, options.what("Numbers of masks. (default: all that a variant takes)", options.WHOLE_NUMBERS)
    ] = None,
    plugin: options.Plugin = None,
    case_timeout: Annotated[float, typer.Option(help="Kill a case after this many seconds.")] = 300.0,
    as_json: options.Json = False,
    wide: options.Wide = False,
    out_json: options.OutJson = None,
    executor: Annotated[str, typer.Option(hidden=True)] = "child",
) -> int:
    """Check every available variant against float64 at awkward shapes; exit code 1 if one is wrong."""
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.executors.open import open_session
    from mglubench.report.summary import verify_tables
    from mglubench.runner.verify import verify as check
    from mglubench.runner.verify import verify_plan

    with open_session(executor, case_timeout) as opened:
        cases = verify_plan(opened.session, names, device, dtype, nm)
        verdicts = []
        with progress_bar(len(cases), "verify") as (progress, task):
            for verdict in check(opened.session, cases):
                verdicts.append(verdict)
                progress.update(task, advance=1, description=verdict.case.key)
    tables = verify_tables(verdicts)
    document = {"variants": tables[0].rows, "failures": tables[1].rows if len(tables) > 1 else []}
    publish_json(document, out_json)
    if form == "json":
        print_json(document)
    else:
        print_tables(tables, form)
    return 1 if any(verdict.failed for verdict in verdicts) else 0
