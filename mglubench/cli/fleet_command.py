"""``mglubench fleet``: the workers that a sweep could have."""

from __future__ import annotations

from typing import Annotated

import typer

from mglubench.cli import fleet_options, options
from mglubench.cli.output import chosen_format, print_json, print_tables, say


def fleet(
    executor: fleet_options.Executor = "ray",
    address: fleet_options.Address = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    cores: fleet_options.Cores = 0,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> int:
    """List the workers of a fleet: host, device, UUID, power limit, driver, versions, health.

    Exit code: 0; 1 if a device is not healthy or a worker was refused; 2 if there is none.
    """
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.fleet import RAY
    from mglubench.fleet.open_fleet import open_fleet
    from mglubench.report.fleet_table import fleet_table
    from mglubench.runner.fleet_request import ALL, asked_for

    everywhere = device if executor == RAY else f"{device}{ALL}"
    asked = asked_for(executor, {"device": everywhere}, address, cores=cores)
    assert asked is not None
    with open_fleet(asked) as found:
        workers = [
            {**told.facts(), "python": told.python, "torch": told.packages.get("torch"), "health": told.health}
            for told in sorted(found.roster.workers.values(), key=lambda told: (told.host, told.uuid))
        ]
        refused = list(dict.fromkeys(found.refused))
    if form == "json":
        print_json({"workers": workers, "refused": refused})
    else:
        print_tables([fleet_table(workers)], form)
        for why in refused:
            say(f"refused: {why}")
    return 1 if refused or any(worker["health"] != "ok" for worker in workers) else 0
