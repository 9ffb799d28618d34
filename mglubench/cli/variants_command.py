"""``mglubench variants``: what can be measured here."""

from __future__ import annotations

from typing import Annotated

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, print_json, print_tables


def variants(
    device: Annotated[str, typer.Option(help="Say what can run on cpu or cuda.")] = "auto",
    plugin: options.Plugin = None,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """List the variants: what each is, where it runs, and why it is unavailable here."""
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.cases.vocabulary import device_kind, device_name
    from mglubench.report.summary import variants_table
    from mglubench.variants.listing import offers

    name = device_name(device)
    if name == "auto":
        name = _best_device()
    table = variants_table(offers(kind := device_kind(name)), kind)
    if form == "json":
        print_json(table.rows)
    else:
        print_tables([table], form)


def _best_device() -> str:
    """CUDA if torch can use it; without torch there is nothing to run on it."""
    try:
        import torch
    except ModuleNotFoundError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"
