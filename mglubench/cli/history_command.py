"""``mglubench history``: how every case went from baseline to baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, print_json, print_tables, say
from mglubench.errors import UsageError


def history(
    folder: Annotated[
        Path | None,
        typer.Argument(parser=options.path, help="Folder of baselines. (default: MGLUBENCH_BASELINES, or baselines)"),
    ] = None,
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
) -> int:
    """Show every case over a folder of baselines: a sparkline, and the baseline where its latency changed."""
    form = chosen_format(as_json=as_json, as_markdown=as_markdown, wide=wide)
    from mglubench.report.baseline_tables import history_row, history_tables
    from mglubench.results.baselines import baselines_folder, list_baselines
    from mglubench.results.history import histories

    where = folder or baselines_folder()
    found, damaged = list_baselines(where)
    if not found and not damaged:
        raise UsageError(f"no baselines in {where}; `mglubench baseline save NAME RUN` makes one")
    if not found:
        raise UsageError(f"no baseline in {where} can be read: {next(iter(damaged.values()))}")
    for why in damaged.values():
        say(f"left out: {why}")
    cases = histories(found)
    if form == "json":
        print_json(
            {
                "folder": str(where),
                "baselines": [
                    {"name": one.name, "time": one.time, "commit": one.manifest.commit, "runs": len(one.runs)}
                    for one in found
                ],
                "cases": [history_row(case) for case in cases],
            }
        )
        return 0
    fake = any(run.fake for one in found for run in one.manifest.runs)
    print_tables(history_tables(cases), form, heading=["FAKE RUNS: nothing was measured"] if fake else [])
    count = len(found)
    say(f"\n{count} baseline{'s' * (count != 1)} in {where}, {found[0].time[:10]} to {found[-1].time[:10]}")
    return 0
