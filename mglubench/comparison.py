"""Who is compared with whom in a comparison set: the ratios that tables show and that decide when sampling ends.

A set is a setting (shape, batch, dtype, activation, mode, device) whose cases take turns in the same rounds. Every case
is held against the fastest GLU of the set, and every MGLU against the fastest layer of the naive family with its masks
(its *group*: nm and mask distribution), and beside it against the naive layer as the paper prints it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mglubench.estimates import Estimate, Series, latencies, ratios, shared_rounds

# Layers that mask W at every call; the second one is the paper's Algorithm 2 as it is printed.
NAIVE_FAMILY = ("mglu-naive", "mglu-naive-float", "mglu-naive-complement")
PRINTED = "mglu-naive-float"


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
    by_key = {member.key: estimate for member, estimate in zip(members, found, strict=True)}
    glu = _fastest((m for m in members if m.role is Role.GLU), by_key)
    groups = {member.group for member in members if member.group is not None}
    family = [m for m in members if m.role in (Role.NAIVE, Role.PRINTED)]
    naive = {group: _fastest((m for m in family if m.group == group), by_key) for group in groups}
    printed = {m.group: m for m in members if m.role is Role.PRINTED}
    over_glu = _over([glu] * len(members), members)
    over_naive = _over([naive.get(member.group) for member in members], members)
    over_printed = _over([printed.get(member.group) for member in members], members)
    return {
        member.key: Compared(by_key[member.key], *over[0], *over[1], *over[2])
        for member, *over in zip(members, over_glu, over_naive, over_printed, strict=True)
    }


def shown_ratios(compared: Mapping[Hashable, Compared]) -> list[Estimate]:
    """The ratios that tables show: over the fastest GLU and the fastest naive layer, but for a baseline over itself."""
    return [
        estimate
        for key, found in compared.items()
        for base, estimate in ((found.glu, found.over_glu), (found.naive, found.over_naive))
        if estimate is not None and base != key
    ]


def _fastest(members: Iterable[Member], latencies: Mapping[Hashable, Estimate]) -> Member | None:
    return min(members, key=lambda member: latencies[member.key].value, default=None)


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
