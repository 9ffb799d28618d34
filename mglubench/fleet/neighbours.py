"""How far devices of a fleet differ, and how neighbours disturb: one case on each device alone, then on all at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.fleet.driver import Fleet, Known
from mglubench.fleet.messages import Order
from mglubench.stats import median
from mglubench.status import Status

ROUNDS = 3
SECONDS = 300.0


def measure_neighbours(fleet: Fleet, case: Case, settings: MeasureSettings, when: str) -> Iterator[Known]:
    """A latency of the case for each device, ``alone`` and ``busy``; a device that fails at it is left out here."""
    short = dataclasses.replace(settings, rounds=min(ROUNDS, settings.rounds), processes=1)
    order = Order(fleet.roster.at_worker(ComparisonSet(0, (case,))), short)
    for turn in _one_a_host(fleet):
        yield from _asked(fleet, turn, order, {"when": when, "how": "alone"})
    yield from _asked(fleet, list(fleet.roster.taking_part()), order, {"when": when, "how": "busy"})


def _one_a_host(fleet: Fleet) -> Iterator[list[str]]:
    """Workers that are no neighbours of each other, until all have had their turn."""
    by_host: dict[str, list[str]] = {}
    for worker, told in fleet.roster.taking_part().items():
        by_host.setdefault(told.host, []).append(worker)
    for number in range(max(map(len, by_host.values()), default=0)):
        yield [workers[number] for workers in by_host.values() if number < len(workers)]


def _asked(fleet: Fleet, workers: list[str], order: Order, known: Known) -> Iterator[Known]:
    there = {worker: told for worker, told in fleet.roster.taking_part().items() if worker in workers}
    for worker, answer in fleet.ask(there, order, SECONDS).items():
        for found in answer.found:
            if found.status == Status.OK:
                told = there[worker]
                latency = median(found.samples) / 1e3
                yield {"uuid": told.uuid, "kind": told.kind, "latency_us": latency, "case": found.case.key, **known}
