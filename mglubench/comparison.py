"""Who is compared with whom in a comparison set: the ratios that tables show and that decide when sampling ends.

A set is a setting (shape, batch, dtype, activation, mode, device) whose cases take turns in the same rounds. Every case
is held against the fastest GLU of the set, and every MGLU against the fastest layer of the naive family with its masks
(its *group*: nm and mask distribution), and beside it against the naive layer as the paper prints it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mglubench.estimates import Estimate, Series, latencies, ratios, shared_rounds
from mglubench.spread import BoolArray, FloatArray, IntArray

# Layers that mask W at every call; the second one is the paper's Algorithm 2 as it is printed.
NAIVE_FAMILY = ("mglu-naive", "mglu-naive-float", "mglu-naive-complement")
PRINTED = "mglu-naive-float"
NO_GROUP = -1


class Role(StrEnum):
    """What a case is in its set."""

    GLU = "glu"
    NAIVE = "naive"
    PRINTED = "printed"
    OTHER = "other"


def role_of(variant: str, layer: str) -> Role:
    """The role of a variant that computes this kind of layer."""
    if variant in NAIVE_FAMILY:
        return Role.PRINTED if variant == PRINTED else Role.NAIVE
    return Role.GLU if layer == "glu" else Role.OTHER


@dataclass(frozen=True, slots=True)
class Member:
    """A case of a set that has samples.

    Attributes:
        role: ``PRINTED`` is the naive layer as the paper prints it, which belongs to the naive family as well.
        group: cases are only held against naive layers of the same group; ``None`` for layers without masks.
    """

    key: Hashable
    role: Role
    group: Hashable
    series: Series


@dataclass(frozen=True, slots=True)
class Compared:
    """A case's latency and how many times as fast it is as each baseline, with the baseline's key; ``None`` if none."""

    latency: Estimate
    glu: Hashable | None = None
    over_glu: Estimate | None = None
    naive: Hashable | None = None
    over_naive: Estimate | None = None
    printed: Hashable | None = None
    over_printed: Estimate | None = None


def compare_set(members: Sequence[Member]) -> dict[Hashable, Compared]:
    """Latency and ratios of every member, by key. Members without samples must be left out."""
    found = latencies([member.series for member in members])
    numbers: dict[Hashable, int] = {None: NO_GROUP}
    groups = np.array([numbers.setdefault(member.group, len(numbers)) for member in members], dtype=np.int64)
    values = np.array([estimate.value for estimate in found])
    sides = bases([member.role for member in members], np.zeros_like(groups), groups, values)
    over = [_over([members[place] if place >= 0 else None for place in side.tolist()], members) for side in sides]
    return {
        member.key: Compared(estimate, *glu, *naive, *printed)
        for member, estimate, glu, naive, printed in zip(members, found, *over, strict=True)
    }


def bases(
    roles: Sequence[Role], sets: IntArray, groups: IntArray, latencies: FloatArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Whom each case is held against: the place of its set's fastest GLU, of its group's fastest naive layer, and of
    the naive layer as printed; -1 where there is none.

    Args:
        sets, groups: numbers from 0; :data:`NO_GROUP` for layers without masks.
    """
    of_role = {role: np.fromiter((own is role for own in roles), dtype=bool, count=len(roles)) for role in Role}
    grouped = sets * (groups.max(initial=0) + 2) + groups + 1
    naive = _fastest(grouped, latencies, of_role[Role.NAIVE] | of_role[Role.PRINTED])
    return (
        _fastest(sets, latencies, of_role[Role.GLU]),
        np.where(groups == NO_GROUP, -1, naive),
        # Of several that are printed the last.
        _fastest(grouped, -np.arange(len(roles), dtype=np.float64), of_role[Role.PRINTED]),
    )


def shown_ratios(compared: Mapping[Hashable, Compared]) -> list[Estimate]:
    """The ratios that tables show: over the fastest GLU and the fastest naive layer, but for a baseline over itself."""
    return [
        estimate
        for key, found in compared.items()
        for base, estimate in ((found.glu, found.over_glu), (found.naive, found.over_naive))
        if estimate is not None and base != key
    ]


def _fastest(sets: IntArray, latencies: FloatArray, among: BoolArray) -> IntArray:
    """For each case the place of the fastest of its set among some, the first of equals; -1 where there is none."""
    places = np.flatnonzero(among)
    order = places[np.lexsort((latencies[places], sets[places]))]
    names, first = np.unique(sets[order], return_index=True)
    found = np.full(int(sets.max(initial=-1)) + 1, -1)
    found[names] = order[first]
    return found[sets]


def _over(
    bases: Sequence[Member | None], members: Sequence[Member]
) -> Iterator[tuple[Hashable | None, Estimate | None]]:
    """The key of each member's base and base over own; nothing where there is none, or they share no round."""
    both = enumerate(zip(bases, members, strict=True))
    pairs = {place: (base, own) for place, (base, own) in both if base is not None and _meet(base, own)}
    found = iter(ratios([(base.series, own.series) for base, own in pairs.values()]))
    for place in range(len(members)):
        yield (pairs[place][0].key, next(found)) if place in pairs else (None, None)


def _meet(base: Member, own: Member) -> bool:
    """Whether they share a round."""
    return base is own or bool(len(shared_rounds(base.series, own.series)[0].rounds))
