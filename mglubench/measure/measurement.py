"""All that is known of a case once it has been measured, or why it was not."""

from __future__ import annotations

from dataclasses import dataclass, field

from mglubench.cases.case import Case
from mglubench.status import Status

# Errors of one output by name (see :class:`mglubench.measure.check.Check`); one that is no number is ``None``.
Errors = dict[str, int | float | None]
# Readings of a device while it was measured, summarised: figures by name, and the list of throttle reasons.
Summary = dict[str, int | float | str | list[str] | None]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One case that came to its end.

    Attributes:
        reason: one line, empty if ok.
        samples: latencies in whole nanoseconds, all that were taken and not discarded; empty unless ok.
        stop: which stopping rule ended the sampling. timer: how samples were taken, in words.
        discarded: samples dropped because the clock was too low. ledger: declared bytes and FLOPs.
        checks: errors before and after the timed loop. telemetry: medians of readings.
        overhead: seconds by purpose: ``prepare``, ``sampling`` (eviction included), ``check``, ``isolation``.
        interleaved: how many cases were sampled in turns with this one, itself included.
    """

    case: Case
    status: Status
    reason: str = ""
    samples: list[int | float] = field(default_factory=list)
    stop: str = ""
    timer: str = ""
    discarded: int = 0
    ledger: dict[str, int] = field(default_factory=dict)
    checks: list[Errors] = field(default_factory=list)
    telemetry: Summary = field(default_factory=dict)
    overhead: dict[str, float] = field(default_factory=dict)
    interleaved: int = 1
