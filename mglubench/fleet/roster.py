"""The workers of a fleet: who may take part, which devices they hold, and what sets may be asked of whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mglubench.cases.case import Case
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.executors.introduction import package_digest
from mglubench.executors.machine import Machine, Memory
from mglubench.fleet.messages import Told
from mglubench.hardware.devices import Device
from mglubench.measure.measurement import Measurement

SPREADS = {
    "shapes": "each set once, wherever a device is free",
    "kinds": "every set once on every kind of device",
    "devices": "every set on every device",
}
ANY = "any"


@dataclass
class Roster:
    """Workers that have joined, by their names.

    Attributes:
        spread: one of SPREADS. kinds: asked for, by a part of the name; ``any`` for all; empty: there must be one.
        digest: of the package that workers must have, if not this one's.
        targets: what each name of a device in this run stands for (a kind, or a UUID), if sets go to several.
    """

    spread: str = "shapes"
    kinds: tuple[str, ...] = ()
    workers: dict[str, Told] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    digest: str = ""
    _wanted: set[str] = field(default_factory=set)

    @property
    def settled(self) -> bool:
        """Whether it is decided what this run's devices are."""
        return bool(self._wanted)

    def why_refused(self, told: Told) -> str | None:
        """Why a worker may not measure for this driver; ``None`` if it may."""
        own = self.digest or package_digest()
        if told.digest == own:
            return None
        return (
            f"{told.host}, {told.uuid}: its mglubench is {told.digest}, this one is {own}; "
            "install the same there, rows of two codes do not belong into one run"
        )

    def settle(self, stored: Mapping[str, Device] | None = None) -> dict[str, Device]:
        """Decide, once all are there, what this run's devices are: by the name of each in its cases.

        Args:
            stored: what they are already, in a run that is continued.

        Raises:
            UsageError: several kinds are there and none was asked for, or none of those.
        """
        by_kind: dict[str, Told] = {}
        for told in sorted(self.workers.values(), key=lambda told: (told.kind, told.host, told.uuid)):
            by_kind.setdefault(told.kind, told)
        self._wanted = set(_chosen(by_kind, self.kinds, self.spread))
        chosen = {kind: told for kind, told in by_kind.items() if kind in self._wanted}
        base = next(iter(chosen.values())).device.kind
        if self.spread == "shapes":
            return {base: _of_kind(list(chosen.values()))}
        if self.spread == "kinds":
            entries = {kind: _of_kind([told]) for kind, told in chosen.items()}
        else:
            mine = sorted(self.mine(), key=lambda told: (told.kind, told.host, told.uuid))
            entries = {told.uuid: replace(told.device, uuid=told.uuid) for told in mine}
        return self._named(base, entries, stored or {})

    def taking_part(self) -> dict[str, Told]:
        """Workers whose kind takes part."""
        return {worker: told for worker, told in self.workers.items() if told.kind in self._wanted}

    def mine(self) -> list[Told]:
        """The same without their names."""
        return list(self.taking_part().values())

    def serves(self, told: Told) -> tuple[str, ...]:
        """What sets may want that this worker can have."""
        if told.kind not in self._wanted:
            return ()
        return {"shapes": ("",), "kinds": (told.kind,), "devices": (told.uuid,)}[self.spread]

    def wanted_by(self, group: ComparisonSet) -> str:
        """What a worker must serve to get a set."""
        return self.targets.get(group.cases[0].device, "")

    def at_worker(self, group: ComparisonSet) -> ComparisonSet:
        """The set with the device as a worker's own process names it."""
        return replace(group, cases=tuple(replace(case, device=case.device_kind) for case in group.cases))

    def paired(self, group: ComparisonSet, found: Iterable[Measurement]) -> Iterator[tuple[Case, Measurement]]:
        """What was found by a worker, each with the case of this run."""
        there = dict(zip(self.at_worker(group).cases, group.cases, strict=True))
        return ((there[one.case], one) for one in found)

    def machine(self) -> Machine:
        """What all that take part have in common: the least memory, and what none of them lacks or all lack."""
        machines = [Machine.from_dict(told.machine) for told in self.mine()]
        first = machines[0]
        name = next(iter(first.devices))
        beside = _beside(self.mine())
        memories = [
            Memory(m.total // share, m.available // share)
            for m, share in ((machine.memory[name], beside) for machine in machines)
        ]
        least = min(memories, key=lambda memory: memory.total)
        kind = first.devices[name].kind
        lacking = [machine.unavailable[kind] for machine in machines]
        everywhere = {variant: why for variant, why in lacking[0].items() if all(variant in one for one in lacking)}
        return Machine(first.devices, {name: least}, {kind: everywhere}, first.fake)

    def _named(self, base: str, entries: Mapping[str, Device], stored: Mapping[str, Device]) -> dict[str, Device]:
        """Devices by name in the cases, ``cuda:0`` and so on; in a run that is continued as they were."""
        if stored:
            known = {name: self._target(device) for name, device in stored.items()}
            self.targets = known
            return dict(stored)
        self.targets = {f"{base}:{number}": target for number, target in enumerate(entries)}
        return dict(zip(self.targets, entries.values(), strict=True))

    def _target(self, device: Device) -> str:
        return (device.uuid or "") if self.spread == "devices" else device.name


def _chosen(kinds: Collection[str], asked: Sequence[str], spread: str) -> list[str]:
    if ANY in asked or (spread != "shapes" and not asked):
        return list(kinds)
    if not asked:
        if len(kinds) > 1:
            raise UsageError(
                f"the fleet has devices of {len(kinds)} kinds: {'; '.join(kinds)}; choose one with --kind, "
                "take --kind any, or measure every set on every kind with --spread kinds"
            )
        return list(kinds)
    found = [kind for kind in kinds if any(part.lower() in kind.lower() for part in asked)]
    if not found:
        raise UsageError(f"no device of kind {' or '.join(asked)}; there are {'; '.join(kinds)}")
    return found


def _of_kind(told: Sequence[Told]) -> Device:
    """A device that stands for all of these kinds, and is none of them."""
    first = told[0].device
    card = replace(first.card, uuid=None) if first.card else None
    return replace(first, name=" or ".join(one.kind for one in told), uuid=None, card=card, at_start=None)


def _beside(told: Sequence[Told]) -> int:
    """CPU workers that share the memory of one machine."""
    if told[0].device.kind != "cpu":
        return 1
    hosts = [one.host for one in told]
    return max(hosts.count(host) for host in hosts)
