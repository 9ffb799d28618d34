"""A comparison as one JSON document, whose schema is published: ``docs/schemas/compare.schema.json``.

The types below are the schema. A field may be added in a format; whatever else changes raises its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from mglubench.cases.axes import Value
from mglubench.report.json_schema import json_schema
from mglubench.results.judgement import EXIT_CODES, FailOn, Judgement, Reason, Verdict
from mglubench.results.run_comparison import Comparison, Difference, Side

FORMAT: Literal[1] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementDocument:
    """A judgement (see :class:`~mglubench.results.judgement.Judgement`); an infinite end of an interval is null."""

    what: str
    key: str
    verdict: Verdict
    reason: Reason
    words: str
    advice: str
    case: dict[str, Value] | None
    base: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    visible: float | None
    base_runs: int
    new_runs: int
    over: str
    against_others: bool
    defect: bool
    regression: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """A run of a side."""

    folder: str
    time: str
    commit: str
    version: str
    devices: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideDocument:
    """One side."""

    name: str
    runs: list[RunDocument]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceDocument:
    """Something in which the sides' conditions differ; a reason says that it forbids to compare them."""

    what: str
    base: str
    new: str
    reason: Reason | None
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonDocument:
    """A comparison: judgements in the order of the cases, and what all cases have in common before them."""

    format: Literal[1]
    base: SideDocument
    new: SideDocument
    exit_code: int
    exit_words: str
    fail_on: list[FailOn]
    counts: dict[str, int]
    figures: int
    alarms: float
    margin: float
    spread: str
    forced: bool
    fake: bool
    differences: list[DifferenceDocument]
    common: list[JudgementDocument]
    judgements: list[JudgementDocument]


def comparison_document(comparison: Comparison, fail_on: frozenset[FailOn]) -> ComparisonDocument:
    """The document of a comparison."""
    code = comparison.exit_code(fail_on)
    return ComparisonDocument(
        format=FORMAT,
        base=_side(comparison.base),
        new=_side(comparison.new),
        exit_code=code,
        exit_words=EXIT_CODES[code],
        fail_on=sorted(fail_on),
        counts={verdict.value: count for verdict, count in comparison.counts().items()},
        figures=comparison.figures,
        alarms=comparison.alarms,
        margin=comparison.margin,
        spread=comparison.spread,
        forced=comparison.forced,
        fake=comparison.fake,
        differences=[_difference(found) for found in comparison.differences],
        common=_judgements(comparison.common),
        judgements=_judgements(comparison.judgements),
    )


def comparison_json(comparison: Comparison, fail_on: frozenset[FailOn]) -> dict[str, object]:
    """The document as plain values."""
    return asdict(comparison_document(comparison, fail_on))


def comparison_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of the document."""
    return json_schema(ComparisonDocument, "mglubench compare --json")


def _judgements(found: Iterable[Judgement]) -> list[JudgementDocument]:
    return [
        JudgementDocument(
            what=judgement.what,
            key=judgement.key,
            verdict=judgement.verdict,
            reason=judgement.reason,
            words=judgement.words,
            advice=judgement.advice,
            case=None if judgement.case is None else judgement.case.to_dict(),
            base=_finite(judgement.base),
            new=_finite(judgement.new),
            change=_finite(judgement.change),
            low=_finite(judgement.low),
            high=_finite(judgement.high),
            visible=_finite(judgement.visible),
            base_runs=judgement.base_runs,
            new_runs=judgement.new_runs,
            over=judgement.over,
            against_others=judgement.against_others,
            defect=judgement.defect,
            regression=judgement.regression,
        )
        for judgement in found
    ]


def _side(side: Side) -> SideDocument:
    runs = [
        RunDocument(folder=run.folder, time=run.time, commit=run.commit, version=run.version, devices=dict(run.devices))
        for run in side.runs
    ]
    return SideDocument(name=side.name, runs=runs)


def _difference(found: Difference) -> DifferenceDocument:
    return DifferenceDocument(what=found.what, base=found.base, new=found.new, reason=found.reason, device=found.device)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
