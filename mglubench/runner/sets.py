"""Comparison sets: cases that are measured in the same rounds, with what they are divided by.

A set holds the cases of one setting, the baselines that the tables divide by, and the reads that shares of the memory's
ceiling refer to. What one memory cannot hold prepared together is split into sets that each hold the baselines again:
a ratio is taken within a set, never across two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mglubench.cases.case import Case, Setting
from mglubench.cases.vocabulary import CEILINGS, LAYER, SAME
from mglubench.comparison import NAIVE_FAMILY
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.layer.formats.weight_formats import matrix_bytes
from mglubench.layer.problem import host_bytes
from mglubench.measure.rotation import copies_wanted
from mglubench.variants.registry import get_variant, variant_of

# Of the memory, what the prepared cases of a set may take together. Of all of it, not of what happens to be free, so
# that a run that is resumed has the sets that it began with.
SET_SHARE = 0.6
# Weight matrices of a layer that its cases share copies of.
_MATRICES = {"glu": 2}


def sets_of(
    cases: Sequence[Case], total: Mapping[str, int], cache: int | None, processes: int = 1
) -> list[ComparisonSet]:
    """Cases in measuring order as sets; a read that serves several sets is in each of them.

    Args:
        total: bytes of memory by device. cache: bytes of the CPU's last-level cache, ``None`` if unknown.
        processes: that share the rounds of a set.
    """
    ceilings = [case for case in cases if _layer(case) in CEILINGS]
    most = max((_bytes(case) for case in ceilings if _layer(case) == "read"), default=0)
    by_setting: dict[Setting, list[Case]] = {}
    for case in cases:
        if case not in ceilings:
            by_setting.setdefault(case.setting, []).append(case)
    groups: list[list[Case]] = []
    guests: set[Case] = set()
    for setting, members in by_setting.items():
        reads = [case for case in ceilings if _serves(case, members[0], most)]
        guests.update(reads)
        groups += _split(members, reads, _Room(SET_SHARE * total.get(setting.device, 0), cache))
    alone: dict[Setting, list[Case]] = {}
    for case in ceilings:
        if case not in guests:
            alone.setdefault(case.setting, []).append(case)
    return [
        ComparisonSet(number, tuple(group), _side_by_side(group, processes, total, cache))
        for number, group in enumerate([*alone.values(), *groups])
    ]


def _side_by_side(group: Sequence[Case], processes: int, total: Mapping[str, int], cache: int | None) -> int:
    """As many processes at once as the memory holds the set; so many fewer that each turn of them is as large.

    On a GPU one after the other: a card may be set to take one process only.
    """
    devices = {case.device for case in group}
    if devices != {"cpu"}:
        return 1
    budget = SET_SHARE * total.get("cpu", 0)
    held = next((count for count in range(processes, 1, -1) if _Room(budget / count, cache).holds(group)), 1)
    return math.ceil(processes / math.ceil(processes / held))


def _serves(read: Case, member: Case, most: int) -> bool:
    """Whether a read is a ceiling of the memory traffic of a setting's cases: both find their weights in memory.

    On a GPU it is the largest read, or one of the setting's own matrix.
    """
    alike = (read.device, read.mode) == (member.device, member.mode) and member.mode != "hot"
    own = (read.h, read.d, read.itemsize, read.weights) == (member.h, member.d, member.itemsize, member.weights)
    return alike and _layer(read) == "read" and (own or read.device_kind == "cpu" or _bytes(read) == most)


def _bytes(case: Case) -> int:
    return case.elements * case.itemsize


@dataclass(frozen=True, slots=True)
class _Room:
    """Bytes that a set may take, and what a case takes of them."""

    budget: float
    cache: int | None

    def holds(self, cases: Iterable[Case]) -> bool:
        together = list(cases)
        shared = max((self._shared(case) for case in together), default=0)
        # One launch runs at a time, so what launches give back is there once.
        passing = max(map(_passing, together), default=0)
        own = sum(map(self._own, together)) + sum(self._in_common(together).values())
        return shared + host_bytes(together[0]) + passing + own <= self.budget

    def _copies(self, case: Case) -> int:
        if case.device_kind != "cpu" or case.mode != "cold":
            return 1
        return copies_wanted(_resident(case), self.cache, _moved(case))

    def _shared(self, case: Case) -> int:
        """Copies of the weights are the set's, whatever layer reads them; codes of a format are each variant's own."""
        return self._copies(case) * self._given(case)

    def _own(self, case: Case) -> int:
        given = self._given(case) if case.device_kind == "cpu" else 0
        own = max(0, _resident(case) - _passing(case) - given - sum(_common(case).values()))
        return self._copies(case) * own

    def _in_common(self, cases: Iterable[Case]) -> dict[str, int]:
        """Bytes that cases have once, by name."""
        most: dict[str, int] = {}
        for case in cases:
            for name, size in _common(case).items():
                most[name] = max(most.get(name, 0), self._copies(case) * size)
        return most

    def _given(self, case: Case) -> int:
        """Bytes of the matrices that variants read where they are."""
        matrices = _MATRICES.get(_layer(case), 1) + (case.block != LAYER)
        return matrices * matrix_bytes(case) if case.weights == SAME else 0


def _split(members: Sequence[Case], reads: Sequence[Case], room: _Room) -> list[list[Case]]:
    """One set if the memory holds it; else as few as it takes, each with the reads and the baselines of its cases."""
    if room.holds([*reads, *members]):
        return [[*reads, *members]]
    glus = [case for case in members if _layer(case) == "glu"]
    groups: list[list[Case]] = []
    for case in members:
        if case in glus:
            continue
        naive = [
            base for base in members if base.variant in NAIVE_FAMILY and (base.nm, base.mask) == (case.nm, case.mask)
        ]
        wanted = [*reads, *glus, *(naive if _layer(case) == "mglu" else ()), case]
        merged = list(dict.fromkeys([*(groups[-1] if groups else ()), *wanted]))
        if groups and room.holds(merged):
            groups[-1] = merged
        elif case not in (groups[-1] if groups else ()):
            groups.append(_shrunk(list(dict.fromkeys(wanted)), case, room))
    # GLUs that no set had room for beside its cases, or that nothing is compared with.
    seen = {case for group in groups for case in group}
    return groups + [[case] for case in (*reads, *glus) if case not in seen]


def _shrunk(wanted: list[Case], case: Case, room: _Room) -> list[Case]:
    """Baselines are left out, the largest first, until the case fits beside the rest; what fits nowhere goes alone."""
    kept = sorted(wanted, key=_resident)
    while len(kept) > 1 and not room.holds(kept):
        kept.remove(next(other for other in reversed(kept) if other != case))
    return [other for other in wanted if other in kept]


def _resident(case: Case) -> int:
    """What a prepared case holds; nothing, if its variant fails to say: it will fail again where that is a row."""
    try:
        return int(variant_of(case).resident_bytes(case))
    except Exception:
        return 0


def _passing(case: Case) -> int:
    """What a launch of a CPU's layer takes and gives back; a GPU's memory stays with its cache of freed blocks."""
    try:
        return (
            min(_resident(case), int(get_variant(case.variant).passing_bytes(case))) if case.device_kind == "cpu" else 0
        )
    except Exception:
        return 0


def _common(case: Case) -> Mapping[str, int]:
    """What a CPU's case has in common with others, by name."""
    try:
        return variant_of(case).common_bytes(case) if case.device_kind == "cpu" else {}
    except Exception:
        return {}


def _moved(case: Case) -> int:
    """What one launch reads and writes; nothing, if its variant fails to say."""
    try:
        return int(variant_of(case).declare(case).total)
    except Exception:
        return 0


def _layer(case: Case) -> str:
    return get_variant(case.variant).layer
