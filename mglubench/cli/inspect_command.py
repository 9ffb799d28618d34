"""``mglubench inspect``: what the compiler made of the kernels."""

from __future__ import annotations

from typing import Annotated

import typer

from mglubench.cli import kernel_options, options
from mglubench.cli.output import chosen_format, print_json, print_tables, progress_bar
from mglubench.errors import UsageError


def inspect(
    variant: Annotated[str | None, typer.Argument(help="Variant. (default: all with kernels of their own)")] = None,
    arch: kernel_options.Arch = "sm_90a",
    nm: kernel_options.Nm = "8",
    dtype: kernel_options.Dtype = "float16",
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
) -> int:
    """Registers, spills, occupancy, instructions per weight element and load widths of compiled kernels; no GPU."""
    from mglubench.hardware.cuda_toolchain import require_tool
    from mglubench.kernels.inspect import examine, subjects
    from mglubench.report.inspect_sass import inspect_table
    from mglubench.variants.registry import inspectable

    form = chosen_format(as_json=as_json, as_csv=False, as_markdown=as_markdown)
    names, known = [variant] if variant else [], inspectable()
    archs, nms, dtypes = kernel_options.archs(arch), kernel_options.nms(nm), kernel_options.dtypes(dtype)
    wanted = subjects(known, names, archs, nms, dtypes)
    if not wanted:
        raise UsageError(f"{variant} has no kernel for {arch}, nm={nm} and {dtype}")
    for tool in ("nvcc", "cuobjdump"):
        require_tool(tool)
    rows = []
    with progress_bar(len(wanted), "inspect") as (progress, task):
        for item in wanted:
            rows += examine(known[item.variant], item)
            progress.update(task, advance=1, description=item.variant)
    if form == "json":
        print_json(rows)
    else:
        print_tables([inspect_table(rows)], form)
    return 1 if any(row["status"] != "ok" for row in rows) else 0
