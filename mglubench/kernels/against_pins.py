"""Compiled kernels held against their pins.

The same source and the same compiler give the same machine code, so any difference of a fact is a change. A change for
the worse is a regression from here on:

    spilled bytes, spill instructions   any more
    registers                           one more allocation unit of 8 per thread
    shared memory                       one more allocation unit of 128 bytes
    occupancy, bits of a vector         any less
    instructions per weight             1 % more
    bytes per load                      any less: the mean width of the main loop's global loads
    instructions                        10 % more, of the whole kernel

A fact that cannot be read any more is a regression, and so is a spill in a kernel that is new or that another version
of the compiler was pinned with. Apart from that, figures of two compilers are shown beside each other, not judged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mglubench.kernels.inspect import InspectRow, Subject
from mglubench.kernels.occupancy import REGISTER_UNIT, SHARED_UNIT
from mglubench.kernels.pins import KernelKey, Pins, facts_of


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure of a compiled kernel, and how much more of it is a regression.

    Attributes:
        unit: it is handed out in multiples of this. share: of what it was. more_is_better: the other way round.
    """

    title: str
    unit: int = 1
    share: float = 0.0
    more_is_better: bool = False

    def regressed(self, before: float, now: float) -> bool:
        """Whether it got worse by more than is tolerated."""
        if self.more_is_better:
            return now < before
        if self.share:
            return now > before * (1 + self.share)
        return math.ceil(now / self.unit) > math.ceil(before / self.unit)


SPILLS = ("local_bytes", "spill_instructions")
FACTS: Mapping[str, Fact] = {
    "local_bytes": Fact("spilled bytes"),
    "spill_instructions": Fact("spill instructions"),
    "registers": Fact("registers", unit=REGISTER_UNIT // 32),
    "shared_bytes": Fact("shared memory", unit=SHARED_UNIT),
    "occupancy": Fact("occupancy", more_is_better=True),
    "vector_bits": Fact("bits of a vector", more_is_better=True),
    "instructions_per_element": Fact("instructions per weight", share=0.01),
    "load_bytes": Fact("bytes per load", more_is_better=True),
    "instructions": Fact("instructions", share=0.10),
}


@dataclass(frozen=True, slots=True)
class FactChange:
    """A fact that differs; ``None`` where a side has none."""

    fact: str
    before: float | None
    now: float | None

    @property
    def regression(self) -> bool:
        """Whether it got worse by more than is tolerated, or cannot be read any more."""
        if self.before is None or self.now is None:
            return self.now is None
        return FACTS[self.fact].regressed(self.before, self.now)

    @property
    def worse(self) -> bool:
        """Whether it got worse at all."""
        if self.before is None or self.now is None:
            return self.now is None
        return (self.now < self.before) == FACTS[self.fact].more_is_better


class Fate(StrEnum):
    """What became of a kernel, the worst first. ``worse`` is within what is tolerated."""

    ERROR = "error"
    REGRESSION = "regression"
    GONE = "gone"
    INCOMPARABLE = "incomparable"
    WORSE = "worse"
    BETTER = "better"
    NEW = "new"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Held:
    """A kernel held against its pin.

    Attributes:
        changes: facts that differ, regressions first; against another compiler's pin where there is no better.
        reason: why it is what it is, where the changes do not say it.
    """

    key: KernelKey
    fate: Fate
    changes: tuple[FactChange, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AgainstPins:
    """All kernels held against a pin file, the worst first.

    Attributes:
        compiler: that compiled them now. left_out: pinned kernels that were not looked at.
    """

    compiler: str
    held: tuple[Held, ...]
    left_out: int = 0

    def counts(self) -> dict[Fate, int]:
        """Kernels by what became of them."""
        counted = Counter(item.fate for item in self.held)
        return {fate: counted[fate] for fate in Fate if counted[fate]}

    def has(self, *fates: Fate) -> bool:
        """Whether any kernel met one of these."""
        return any(item.fate in fates for item in self.held)


def hold_against(pins: Pins, rows: Sequence[InspectRow], looked_at: Collection[Subject], compiler: str) -> AgainstPins:
    """Hold the rows of an inspection against pins.

    Args:
        looked_at: all subjects that were inspected; a pinned kernel of one of them that has no row is gone. So is one
            whose variant none of them has, if ``looked_at`` was not narrowed down: then it holds a subject for it.
    """
    failed = [row for row in rows if row["status"] != "ok"]
    found = {KernelKey.of(row): row for row in rows if row["status"] == "ok"}
    held = [_held(pins, key, row, compiler) for key, row in found.items()]
    held += [Held(KernelKey.of(row), Fate.ERROR, reason=str(row["reason"])) for row in failed]
    not_compiled = {item.key.subject for item in held if item.fate == Fate.ERROR}
    wanted = [key for key in pins.rows if key.subject in looked_at]
    held += [
        Held(key, Fate.GONE, reason="pinned, and not there any more")
        for key in wanted
        if key not in found and key.subject not in not_compiled
    ]
    ranks = list(Fate)
    return AgainstPins(
        compiler, tuple(sorted(held, key=lambda item: ranks.index(item.fate))), len(pins.rows) - len(wanted)
    )


def _held(pins: Pins, key: KernelKey, row: InspectRow, compiler: str) -> Held:
    by_compiler = pins.rows.get(key, {})
    if compiler in by_compiler:
        changes = _changes(by_compiler[compiler], row)
        return Held(key, _fate(changes), changes)
    if by_compiler:
        other, pinned = list(by_compiler.items())[-1]
        changes = _changes(pinned, row)
        spilled = any(change.fact in SPILLS and change.regression for change in changes)
        words = f"pinned with compiler {other}, compiled with {compiler}"
        return Held(key, Fate.REGRESSION if spilled else Fate.INCOMPARABLE, changes, words)
    if any(row.get(name) for name in SPILLS):
        changes = tuple(FactChange(name, 0.0, float(row[name])) for name in SPILLS if row.get(name))
        return Held(key, Fate.REGRESSION, changes, "new, and it spills")
    if key.arch not in pins.archs:
        return Held(key, Fate.INCOMPARABLE, reason=f"nothing is pinned for {key.arch}")
    return Held(key, Fate.NEW, reason="not pinned")


def _changes(pinned: InspectRow, row: InspectRow) -> tuple[FactChange, ...]:
    before, now = facts_of(pinned, FACTS), facts_of(row, FACTS)
    changes = [FactChange(name, before.get(name), now.get(name)) for name in FACTS if before.get(name) != now.get(name)]
    return tuple(sorted(changes, key=lambda change: (not change.regression, not change.worse)))


def _fate(changes: Iterable[FactChange]) -> Fate:
    found = list(changes)
    if any(change.regression for change in found):
        return Fate.REGRESSION
    if any(change.worse for change in found):
        return Fate.WORSE
    return Fate.BETTER if found else Fate.SAME
