"""Plan a sweep for this machine: resolve what is ``auto``, list the cases, group them, refuse what could never fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import SweepSpec
from mglubench.cases.vocabulary import device_kind
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.executors.machine import Machine
from mglubench.executors.session import Describes
from mglubench.hardware.cpu import last_level_cache
from mglubench.hardware.environment import host_record
from mglubench.layer.formats.weight_formats import matrix_bytes
from mglubench.layer.problem import host_bytes
from mglubench.results.header import Header, checked_header
from mglubench.results.rows import SCHEMA
from mglubench.runner.ceiling_cases import ceiling_cases
from mglubench.runner.sets import sets_of
from mglubench.variants.registry import asked_plugins, check_names, has_masks, variants


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep that is ready to run on this machine.

    Attributes:
        spec: resolved, no ``auto`` left. sets: cases that are measured together, in measuring order.
        machine: what the session said of it.
        unavailable: reasons by variant, for variants that ``auto`` left out. host: what workers of other code than
            this process's say of themselves, in place of its own record.
    """

    spec: SweepSpec
    sets: list[ComparisonSet]
    machine: Machine
    unavailable: dict[str, str]
    host: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def cases(self) -> list[Case]:
        """All that will be measured; a baseline that several sets need is there once for each."""
        return [case for group in self.sets for case in group.cases]

    def only(self, wanted: Callable[[ComparisonSet], Collection[Case]]) -> Plan:
        """The same with the cases of every set that are wanted of it; a set without any is left out."""
        kept = [(group, set(wanted(group))) for group in self.sets]
        sets = [
            dataclasses.replace(group, cases=tuple(case for case in group.cases if case in cases))
            for group, cases in kept
            if cases
        ]
        return dataclasses.replace(self, sets=sets)

    def header(self) -> Header:
        """What the run's header holds."""
        values = {
            "schema": SCHEMA,
            "name": self.spec.name,
            "sweep": self.spec.to_dict(),
            "cases": len(self.cases),
            "fake": self.machine.fake,
            "environment": {
                **host_record(),
                **self.host,
                "devices": {name: device.to_dict() for name, device in self.machine.devices.items()},
                "memory": {name: dataclasses.asdict(memory) for name, memory in self.machine.memory.items()},
                "unavailable": self.unavailable,
            },
        }
        return checked_header(values)


def make_plan(spec: SweepSpec, session: Describes) -> Plan:
    """Resolve ``auto`` against the machine, list the cases, and refuse what could never fit.

    Raises:
        UsageError: an unknown variant, or shapes beyond this machine's memory.
        UnavailableError: a device that is not here.
    """
    check_names(spec.variants)
    machine = session.describe(spec.device)
    devices = tuple(machine.devices)
    kinds = sorted({device_kind(device) for device in devices})
    absent = {
        name: next(iter(reasons))
        for name in variants()
        if (reasons := [r for k in kinds if (r := machine.unavailable[k].get(name))]) and len(reasons) == len(kinds)
    }
    usual = [name for name, variant in variants().items() if variant.default and name not in absent]
    chosen = tuple(dict.fromkeys([*usual, *asked_plugins()]))
    resolved = spec.with_lists(device=devices).resolve(
        device=devices[0], dtype="float32" if kinds == ["cpu"] else "float16", variants=chosen
    )
    # A variant that nobody named is left out where it cannot run; a named one becomes a row with the reason.
    cases = [
        case
        for case in resolved.cases(has_masks)
        if case.variant in spec.variants or case.variant not in machine.unavailable[case.device_kind]
    ]
    _refuse_absurd(cases, machine)
    if resolved.ceiling:
        cases = ceiling_cases(resolved, machine) + cases
    total = {name: memory.total for name, memory in machine.memory.items()}
    sets = sets_of(cases, total, last_level_cache(), resolved.measure.processes)
    return Plan(resolved, sets, machine, {k: v for k, v in absent.items() if k not in resolved.variants})


def _refuse_absurd(cases: Sequence[Case], machine: Machine) -> None:
    for case in cases:
        total = machine.memory[case.device].total
        matrix = matrix_bytes(case)
        needed = host_bytes(case) if case.device_kind == "cpu" else matrix
        if needed > total:
            raise UsageError(
                f"shape {case.h}x{case.d} with nm={case.nm} needs {needed / 1e9:.0f} GB for its inputs, "
                f"{case.device} has {total / 1e9:.0f} GB; choose a smaller shape"
            )
