"""``mglubench predict``: floors on a GPU that is not here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import options
from mglubench.cli.options import WHOLE_NUMBERS, what
from mglubench.cli.output import chosen_format, print_json, print_tables
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.hardware.gpus import GpuData


def predict(
    gpu: Annotated[
        str | None, typer.Option(help='Name, such as "RTX 5090", "H100 PCIe" or A100-SXM4-80GB.', show_default=False)
    ] = None,
    h: Annotated[
        str | None, what("Hidden sizes, such as 2048,4096 or pow2:1024..8192; pairs up with --d.", WHOLE_NUMBERS)
    ] = None,
    d: Annotated[str | None, what("Intermediate sizes, such as 8192,14336.", WHOLE_NUMBERS)] = None,
    shape: Annotated[str | None, what("Pairs HxD, such as 2048x8192,4096x14336.")] = None,
    model: Annotated[str | None, what("Published models, such as llama-3.2-1b,qwen3-8b.")] = None,
    nm: Annotated[str | None, what("Numbers of masks, such as 1,2 or 1..16. (default: 1,2,4,8)", WHOLE_NUMBERS)] = None,
    batch: Annotated[str | None, what("Tokens, such as 1,4 or pow2:1..64. (default: 1)", WHOLE_NUMBERS)] = None,
    dtype: Annotated[str | None, what("float32, bfloat16, float16. (default: float16)")] = None,
    weights: Annotated[str | None, what("How W is stored: same, int8, int4, fp8-e4m3, mxfp4. (default: same)")] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            parser=options.run_folder,
            help="A run on a GPU, or last: the launch model beside what it measured.",
        ),
    ] = None,
    datasheet: Annotated[bool, typer.Option("--datasheet", help="Ignore ceilings measured on such a GPU.")] = False,
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
    wide: options.Wide = False,
) -> None:
    """Estimate, without measuring: the least time per case on a GPU, and the largest possible speed-ups."""
    from mglubench.cases.config import build_spec
    from mglubench.hardware.gpus import gpu_named
    from mglubench.report.predict_launches import predicted_tables
    from mglubench.report.render import to_plain
    from mglubench.results.ceilings import as_measured

    form = chosen_format(as_json=as_json, as_markdown=as_markdown, wide=wide)

    def find(name: str) -> GpuData:
        return gpu_named(name) if datasheet else as_measured(gpu_named(name))

    if against is not None:
        from mglubench.report.predict_against import against_table
        from mglubench.results.load_run import load

        table = against_table(load(against), find)
        if form == "json":
            print_json({"estimate": True, "tables": [to_plain(table)]})
        else:
            print_tables([table], form)
        return
    if gpu is None:
        raise UsageError("Missing option '--gpu'; or give --against a run")
    data = find(gpu)
    shapes = {"h": h, "d": d, "shape": shape, "model": model}
    rest = {"nm": nm, "batch": batch, "dtype": dtype, "weights": weights, "name": "predict"}
    spec = build_spec({**shapes, **rest})
    tables = predicted_tables(spec, data, find)
    if form == "json":
        print_json({"gpu": data.to_dict(), "estimate": True, "tables": [to_plain(table) for table in tables]})
    else:
        print_tables(tables, form)
