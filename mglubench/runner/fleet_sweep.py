"""A sweep over a fleet: planned for what its devices have in common, measured by its workers, stored here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import MeasureSettings, SweepSpec
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.executors.machine import Machine
from mglubench.fleet.driver import Fleet
from mglubench.fleet.neighbours import measure_neighbours
from mglubench.fleet.open_fleet import FleetOptions, open_fleet
from mglubench.hardware.devices import Device, devices_in
from mglubench.results.fleet_record import Fact, FleetRecord
from mglubench.results.store import HEADER, read_header
from mglubench.runner.plan import Plan, make_plan
from mglubench.runner.progress import Progress
from mglubench.runner.run import MeasuredSet, MeasureSets
from mglubench.runner.sweep import Swept, refuse_resume_of_nothing, sweep_planned


def fleet_sweep(
    spec: SweepSpec,
    options: FleetOptions,
    out: Path | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Swept:
    """Measure with a fleet what the run in ``out`` (or in a fresh folder) does not have yet.

    Raises:
        UsageError, UnavailableError, StoreError: as :func:`~mglubench.runner.sweep.run_sweep`; no worker can take part.
    """
    refuse_resume_of_nothing(out, resume=resume)
    stored = devices_in(read_header(out)["environment"]) if resume and out and (out / HEADER).exists() else {}
    tell = progress or Progress()
    with planned_fleet(spec, options, tell, stored) as (fleet, plan, record):

        def measuring(folder: Path) -> MeasureSets:
            return lambda groups, settings: _measured(fleet, record, folder, groups, settings)

        return sweep_planned(plan, measuring, out, resume=resume, progress=tell)


@contextmanager
def planned_fleet(
    spec: SweepSpec,
    options: FleetOptions,
    progress: Progress | None = None,
    stored: Mapping[str, Device] | None = None,
) -> Iterator[tuple[Fleet, Plan, FleetRecord]]:
    """A fleet, the plan for it, and its record; ``stored`` are the devices of a run that is continued.

    Raises:
        UsageError: the sweep is of several devices; no worker can take part.
    """
    if len(spec.device) > 1:
        raise UsageError(f"device is {', '.join(spec.device)}: a fleet measures on one kind of device, cuda or cpu")
    options = dataclasses.replace(options, device=spec.device[0])
    record = FleetRecord()

    def tell(what: str, known: Mapping[str, Fact]) -> None:
        record.add(what, known)
        if progress is not None:
            progress.fleet(what, known)

    with open_fleet(options, spec.measure.case_timeout, tell) as fleet:
        devices = fleet.roster.settle(stored)
        machine = fleet.roster.machine()
        base = spec.with_lists(device=(next(iter(machine.devices)),))
        yield fleet, _spread(make_plan(base, _Described(machine)), devices, options), record


@dataclasses.dataclass(frozen=True, slots=True)
class _Described:
    """What :func:`~mglubench.runner.plan.make_plan` asks of a session."""

    machine: Machine

    def describe(self, devices: tuple[str, ...]) -> Machine:
        """What the fleet's devices have in common."""
        return self.machine


def _spread(plan: Plan, devices: Mapping[str, Device], options: FleetOptions) -> Plan:
    """The sets of the plan for each of these devices, as sets of their own; cases are named by the run's devices."""
    sets = [
        dataclasses.replace(group, number=group.number + len(plan.sets) * place, cases=_on(device, group.cases))
        for place, device in enumerate(devices)
        for group in plan.sets
    ]
    memory = next(iter(plan.machine.memory.values()))
    machine = dataclasses.replace(plan.machine, devices=devices, memory=dict.fromkeys(devices, memory))
    return dataclasses.replace(plan, sets=sets, machine=machine, host={"fleet": {"spread": options.spread}})


def _on(device: str, cases: Iterable[Case]) -> tuple[Case, ...]:
    return tuple(dataclasses.replace(case, device=device) for case in cases)


def _measured(
    fleet: Fleet, record: FleetRecord, folder: Path, groups: Iterable[ComparisonSet], settings: MeasureSettings
) -> Iterator[MeasuredSet]:
    """The sets, between two looks at how far the devices differ and disturb each other."""
    there = list(groups)
    with record.kept_in(folder):
        if there:
            case = _reference(there)
            _compare_devices(fleet, record, case, settings, "before")
            yield from fleet.measured(there, settings)
            _compare_devices(fleet, record, case, settings, "after")


def _compare_devices(fleet: Fleet, record: FleetRecord, case: Case, settings: MeasureSettings, when: str) -> None:
    for known in measure_neighbours(fleet, case, settings, when):
        record.add("reference", known)


def _reference(groups: Sequence[ComparisonSet]) -> Case:
    """What devices are compared by: the first layer, where there is one."""
    return next((case for group in groups for case in group.roles()), groups[0].cases[0])
