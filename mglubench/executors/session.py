"""The session protocol: prepare a case, take samples of it, finish it.

A session is a place where cases run. The caller drives it in small steps, so it can interleave variants, and so that a
step that dies or hangs names the case that it was working on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from mglubench.cases.case import Case
from mglubench.executors.machine import Machine
from mglubench.hardware.devices import Reading
from mglubench.measure.measurement import Errors


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case that is ready to be sampled, its output checked once.

    Attributes:
        check: errors against float64 on the first fresh inputs. ledger: declared bytes and FLOPs.
        timer: how samples are taken, in words. seconds: inputs, packing, compilation, warm-up and check together.
    """

    check: Errors
    ledger: dict[str, int]
    timer: str
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Block:
    """Samples taken in one go.

    Attributes:
        samples: latencies in nanoseconds. discarded: samples dropped because the clock was too low or cores were taken.
        telemetry: GPU readings before and after, or what a CPU's block got of the cores.
        seconds: wall time in the session, eviction and settling included.
        copies: number of the copy of the layer (one preparation) that each sample ran on; empty: all on one.
        settling: launches that were run before the samples and not kept.
        reason: why the block was discarded, in words; empty if it was not.
    """

    samples: list[float]
    discarded: int
    telemetry: list[Reading]
    seconds: float
    copies: list[int] = field(default_factory=list)
    settling: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A case that has been checked again after its timed loop and released.

    Attributes:
        notes: what it did to the process that it ran in, a sentence each.
    """

    check: Errors
    seconds: float
    notes: list[str] = field(default_factory=list)


class Describes(Protocol):
    """Knows a machine."""

    def describe(self, devices: tuple[str, ...]) -> Machine:
        """Devices, memory, and why which variant is unavailable."""
        ...


class Session(Describes, Protocol):
    """Where cases run. Every method may raise :class:`~mglubench.errors.CaseError`, which concerns that case alone."""

    def prepare(self, case: Case, offset: int = 0, *, non_finite: bool = False) -> Prepared:
        """Allocate, compile, check once, warm up.

        Args:
            offset: how many elements into their memory x and y start. non_finite: whether some inputs are NaN or
                infinite.
        """
        ...

    def sample(self, case: Case, seconds: float, most: int) -> Block:
        """Take samples of a prepared case."""
        ...

    def finish(self, case: Case) -> Finished:
        """Check again on other inputs and release."""
        ...

    def supply(self, case: Case) -> None:
        """Make what the case is judged by, for all sessions that will share it; never fails."""
        ...

    def begin(self, step: Literal["prepare", "finish"], case: Case) -> None:
        """Begin with what the next call asks for, so that several sessions are at it at once; never fails.

        A session that has none beside it need not do anything.
        """
        ...

    def ready(self) -> bool:
        """Whether the answer to what was begun is there, so that the call that asks for it does not wait."""
        ...

    def abandon(self, case: Case) -> None:
        """Release without a check; never fails."""
        ...

    def renew(self) -> None:
        """Give up whatever is prepared, and go on in a process of its own where there can be one; never fails."""
        ...

    def beside(self) -> Session | None:
        """Another place like this one, for the same cases at the same time; ``None`` where there can be none."""
        ...

    def close(self) -> None:
        """End the session; never fails."""
        ...
