"""The options of a fleet."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.models import OptionInfo

from mglubench.cli.help_pages import FLEET


def _fleet(words: str, metavar: str | None = None, least: int | None = None) -> OptionInfo:
    option: OptionInfo = typer.Option(help=words, metavar=metavar, min=least, rich_help_panel=FLEET)
    return option


Executor = Annotated[str, _fleet("Where cases run: child, local, or ray for a fleet.")]
Address = Annotated[str, _fleet("Ray cluster, auto or HOST:PORT. (default: a running one, or one of its own)")]
Spread = Annotated[str, _fleet("Each set once (shapes), on all kinds of devices, or on all devices.")]
Kind = Annotated[str, _fleet("Only devices with this in their kind; any for all.", metavar="TEXT,...")]
Cores = Annotated[int, _fleet("Cores of each CPU worker. (default: all)", least=0)]
SetTimeout = Annotated[float, _fleet("Seconds that a comparison set may take. (default: by its cases)", least=0)]
