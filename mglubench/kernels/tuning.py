"""Launch choices that were found to be best on this machine's GPU, remembered between runs.

``mglubench tune`` writes them; every later launch of the same kernel on the same GPU, shape, nm, batch and dtype uses
them. The table is one JSON file in the user's data folder, or the file that MGLUBENCH_TUNING names; deleting it brings
the built-in heuristics back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
class Gpu:
    """What choices depend on: the name that tables use, ``sm_90a``, multiprocessors (0 if unknown)."""

    name: str
    arch: str
    sm_count: int


@dataclass(frozen=True, slots=True)
class Job:
    """What a choice depends on, beside the GPU."""

    kernel: str
    h: int
    d: int
    nm: int
    batch: int
    dtype: str

    def key(self, gpu: str) -> str:
        """Name of this job on a GPU in the table."""
        return f"{gpu}/{self.kernel}/{self.h}x{self.d}/nm{self.nm}/b{self.batch}/{self.dtype}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found for a job: the choice, and the median in nanoseconds (infinite where none was kept)."""

    choice: Choice
    median_ns: float


_forced: Choice | None = None


def remembered(gpu: str, job: Job) -> Choice | None:
    """The choice to use for this job: a forced one, else the table's, else ``None``.

    Raises:
        UsageError: the table, or its entry for this job, is damaged.
    """
    if _forced is not None:
        return _forced
    found = recalled(gpu, job)
    return found.choice if found else None


def recalled(gpu: str, job: Job) -> Found | None:
    """The table's entry for this job, whatever is forced; raises as :func:`remembered`."""
    entry = NOTEBOOK.read().get(job.key(gpu))
    if entry is None:
        return None
    try:
        macros = tuple(sorted((str(name), int(value)) for name, value in entry["macros"].items()))
        return Found(Choice(macros, int(entry["split_k"])), float(entry.get("median_ns", math.inf)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NOTEBOOK.damaged(f"{job.key(gpu)}: {type(error).__name__} {error}") from None


def remember(gpu: str, job: Job, choice: Choice, median_ns: float) -> None:
    """Keep a choice; raises :class:`StoreError` if the table cannot be written."""
    found = {job.key(gpu): {**choice.to_dict(), "median_ns": median_ns}}
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
