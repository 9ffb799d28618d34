"""What the steps of a campaign write down of each unit of their work: one JSON object a line, by the names given here.

A line that lacks one of these names, or has a value of another type, is damaged: it is left out with a warning when it
is read, and its unit is done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict


class UnitRow(TypedDict):
    """Any unit: ``status`` is ``ok`` or what went wrong, ``reason`` one line."""

    key: str
    status: str
    reason: str


class TimedRow(UnitRow):
    """A unit whose seconds tell how long the next one may take."""

    seconds: float


class TunedRow(TimedRow):
    """A cell of ``tune``; the figures are there if its status is ``ok``."""

    choice: NotRequired[object]
    median_us: NotRequired[float | None]
    rule_us: NotRequired[float | None]
    tried: NotRequired[int]
    failed: NotRequired[int]


class SanitizedRow(TimedRow):
    """A variant under one tool of compute-sanitizer; ``log`` is relative to the campaign's folder."""

    log: str


class VerifiedRow(UnitRow):
    """A case against float64; ``relative`` is its error, ``failed`` whether it fails the step."""

    relative: float | None
    case: Mapping[str, object]
    failed: bool


class ClockedRow(UnitRow):
    """A case by ``triton.testing.do_bench``: the median in microseconds, if its status is ``ok``."""

    do_bench_us: float | None
