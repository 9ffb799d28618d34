"""Launch choices that were found to be best on this machine's GPU or CPU, remembered between runs.

``mglubench tune`` writes them; every later launch of the same kernel on the same chip, shape, nm, batch and dtype uses
them. The table is one JSON file in the user's data folder, or the file that MGLUBENCH_TUNING names; deleting it brings
the built-in heuristics back.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec

from mglubench.system.notebook import Notebook

NOTEBOOK = Notebook(
    file="tuning.json",
    variable="MGLUBENCH_TUNING",
    content="choices",
    version=1,
    what="tuning table",
    again="run `mglubench tune` again",
)


@dataclass(frozen=True, slots=True)
class Choice:
    """How a kernel is compiled and launched.

    Attributes:
        macros: tuning macros and values, sorted by name. split_k: blocks that share a row tile; 0 leaves it to the
            kernel's own rule.
    """

    macros: tuple[tuple[str, int], ...] = ()
    split_k: int = 0

    @classmethod
    def of(cls, split_k: int = 0, **macros: int) -> Choice:
        """``Choice.of(WARPS=4)``: macro names without their common prefix."""
        return cls(tuple(sorted((f"MGLU_{name}", value) for name, value in macros.items())), split_k)

    def get(self, name: str, default: int) -> int:
        """Value of a macro, by its name without prefix."""
        return dict(self.macros).get(f"MGLU_{name}", default)

    def to_dict(self) -> dict[str, dict[str, int] | int]:
        """Plain values, for JSON."""
        return {"macros": dict(self.macros), "split_k": self.split_k}

    def __str__(self) -> str:
        words = [f"{name.removeprefix('MGLU_').lower()}={value}" for name, value in self.macros]
        return " ".join([*words, *([f"split_k={self.split_k}"] if self.split_k else [])]) or "defaults"


@dataclass(frozen=True, slots=True)
class Chip:
    """What choices depend on: the name that tables use, and what code is made for (``sm_90a``, ``znver4``)."""

    name: str
    arch: str


@dataclass(frozen=True, slots=True)
class Gpu(Chip):
    """A GPU with its multiprocessors (0 if unknown)."""

    sm_count: int


@dataclass(frozen=True, slots=True)
class Job:
    """What a choice depends on, beside the chip."""

    kernel: str
    h: int
    d: int
    nm: int
    batch: int
    dtype: str

    def key(self, chip: str) -> str:
        """Name of this job on a chip in the table."""
        return f"{chip}/{self.kernel}/{self.h}x{self.d}/nm{self.nm}/b{self.batch}/{self.dtype}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found for a job: the choice, and its time in nanoseconds (infinite where none was kept)."""

    choice: Choice
    median_ns: float


@dataclass(frozen=True, slots=True)
class Entry:
    """What the table holds of a job: a :class:`Choice`, and its time in nanoseconds if one was kept."""

    macros: dict[str, int]
    split_k: Annotated[int, msgspec.Meta(ge=0)]
    median_ns: Annotated[float, msgspec.Meta(ge=0)] | None = None


_forced: Choice | None = None


def remembered(chip: str, job: Job) -> Choice | None:
    """The choice to use for this job: a forced one, else the table's, else ``None``.

    Raises:
        UsageError: the table, or its entry for this job, is damaged.
    """
    if _forced is not None:
        return _forced
    found = recalled(chip, job)
    return found.choice if found else None


def recalled(chip: str, job: Job) -> Found | None:
    """The table's entry for this job, whatever is forced; raises as :func:`remembered`."""
    entry = NOTEBOOK.read().get(job.key(chip))
    if entry is None:
        return None
    try:
        known = msgspec.convert(entry, Entry)
    except ValueError as error:
        raise NOTEBOOK.damaged(f"{job.key(chip)}: {error}") from None
    return Found(
        Choice(tuple(sorted(known.macros.items())), known.split_k),
        math.inf if known.median_ns is None else known.median_ns,
    )


def remember(chip: str, job: Job, choice: Choice, median_ns: float) -> None:
    """Keep a choice; raises :class:`StoreError` if the table cannot be written."""
    found = {job.key(chip): {**choice.to_dict(), "median_ns": median_ns}}
    NOTEBOOK.change(lambda choices: {**choices, **found})


@contextmanager
def forced(choice: Choice) -> Iterator[None]:
    """Use ``choice`` for whatever is prepared inside; how a search tries its candidates."""
    global _forced
    before, _forced = _forced, choice
    try:
        yield
    finally:
        _forced = before


AnyChip = TypeVar("AnyChip", bound=Chip)


class Tunable(ABC, Generic[AnyChip]):
    """A kernel that can be launched in more than one way."""

    @abstractmethod
    def job(self, h: int, d: int, nm: int, batch: int, dtype: str) -> Job:
        """What the launch choice for a shape depends on."""

    def rule(self, job: Job, chip: AnyChip) -> Choice:
        """The launch choice where nothing is remembered."""
        return Choice()

    def tried(self) -> Iterable[Choice]:
        """What a search tries beside the rule, whether it suits the job or not."""
        return ()

    def suits(self, job: Job, choice: Choice, chip: AnyChip) -> bool:
        """Whether a job can be launched so on this chip."""
        return True

    def choose(self, job: Job, chip: AnyChip) -> Choice:
        """A forced or remembered choice if there is one, else the rule's."""
        choice = remembered(chip.name, job)
        return self.rule(job, chip) if choice is None else choice

    def candidates(self, job: Job, chip: AnyChip) -> list[Choice]:
        """What a search tries, the present choice first."""
        wanted = [choice for choice in self.tried() if self.suits(job, choice, chip)]
        return list(dict.fromkeys([self.choose(job, chip), *wanted]))


def grid(splits: Iterable[int], **macros: Iterable[int]) -> Iterator[Choice]:
    """All combinations of splits and macro values."""
    wanted = tuple(splits)
    for values in itertools.product(*macros.values()):
        for split in wanted:
            yield Choice.of(split, **dict(zip(macros, values, strict=True)))
