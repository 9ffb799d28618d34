"""All that is known of a case once it has been measured, or why it was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec.structs import replace

from mglubench.cases.case import Case
from mglubench.estimates import Series
from mglubench.status import Status

# Errors of one output by name (see :class:`mglubench.measure.check.Check`); one that is no number is ``None``.
Errors = dict[str, int | float | None]
# Readings of a device while it was measured, summarised: figures by name, and the list of throttle reasons.
Summary = dict[str, int | float | str | list[str] | None]
# What a worker of a fleet says of itself and its device, as every one of its rows keeps it.
Worker = dict[str, int | float | str]


# More copies than a process ever holds of one layer.
_COPIES = 1 << 16
# What a number of a round can come to; whoever reads a stored round is held to it.
Small = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Copy = Annotated[int, msgspec.Meta(ge=0, lt=_COPIES)]


class Round(msgspec.Struct, frozen=True, gc=False):
    """What one round of a comparison set gave one case.

    Attributes:
        number: of the round in its set, from 0. process: which of the processes that shared the rounds took it.
        place: turn of the case within the round, from 0. count: how many of the measurement's samples are of it.
        copies: number of the copy of the layer (one draw of addresses) that each sample ran on; empty: all on one.
        discarded: samples that were dropped. settling: launches before the samples that were not kept.
    """

    number: Small
    process: Small
    place: Small = 0
    count: Small = 0
    copies: tuple[Copy, ...] = ()
    discarded: Small = 0
    settling: Small = 0

    def after(self, discarded: int, settling: int) -> Round:
        """The round after one more block."""
        return replace(self, discarded=self.discarded + discarded, settling=self.settling + settling)

    def kept(self, count: int, copies: Sequence[int]) -> Round:
        """The round with the samples that it is remembered by."""
        return replace(self, count=count, copies=tuple(copies))


def copy_number(process: int, copy: int) -> int:
    """One number for a copy of a process: the same copy of another process is another draw of addresses."""
    return process * _COPIES + copy


def series_of(samples: Sequence[float], rounds: Sequence[Round]) -> Series:
    """Samples with the round, the preparation and the process of each; without rounds (schema 1) all are of one."""
    numbers = [turn.number for turn in rounds for _ in range(turn.count)]
    copies = [copy_number(turn.process, copy) for turn in rounds for copy in turn.copies or (0,) * turn.count]
    processes = [turn.process for turn in rounds for _ in range(turn.count)]
    return Series.of(samples, numbers, copies, processes)


class Measurement(msgspec.Struct, frozen=True, gc=False):
    """One case that came to its end.

    Attributes:
        reason: one line, empty if ok.
        samples: latencies in whole nanoseconds, all that were taken and not discarded; empty unless ok.
        stop: which stopping rule ended the sampling. timer: how samples were taken, in words.
        discarded: samples dropped because the clock was too low or cores were taken. ledger: declared bytes and FLOPs.
        checks: errors before and after the timed loop. telemetry: medians of readings.
        overhead: seconds by purpose: ``prepare``, ``sampling`` (eviction included), ``check``, ``isolation``.
        interleaved: how many cases were sampled in turns with this one, itself included.
        rounds: which samples are of which round, in order; empty in rows of schema 1, whose samples are one round.
        set: number of the comparison set in its run; cases are compared within one.
        notes: what the case did beside its work, and what became of it, a sentence each; stored where there is one.
        worker: which device of a fleet measured it (``host``, ``uuid``, ``driver``, ...); stored where it was one.
    """

    case: Case
    status: Status
    reason: str = ""
    samples: list[int | float] = []
    stop: str = ""
    timer: str = ""
    discarded: int = 0
    ledger: dict[str, int] = {}
    checks: list[Errors] = []
    telemetry: Summary = {}
    overhead: dict[str, float] = {}
    interleaved: int = 1
    rounds: list[Round] = []
    set: int = 0
    notes: list[str] = []
    worker: Worker = {}
