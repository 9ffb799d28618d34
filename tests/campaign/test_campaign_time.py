"""The shipped campaign's order and length: what it would take on a card, estimated from what it asks for.

Seconds per unit are estimates, not measurements: sampling is what the sweep file grants a case; preparing and checking
a case once per process, a process's start and a search's compilations are generous guesses for 16 cores.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mglubench.campaign.definition import Step, read_campaign
from mglubench.executors.fake import FakeSession
from mglubench.runner.plan import make_plan
from mglubench.system.resources import data_folder

CASE, PROCESS, CELL, LOOK, BUILD = 0.4, 6.0, 12.0, 3.0, 60.0
# The first slice, and what of it may pass before the targets have a verdict; a lent card; all of it.
SLICE, VERDICT, LENT, WHOLE = 480, 300, 900, 1800


def seconds_of(step: Step, planned: dict[str, int]) -> float:
    """Of one step; ``planned`` holds the cases of the sweeps before it."""
    options = step.options
    if step.sweep is not None:
        plan = make_plan(step.sweep, FakeSession(cuda=True))
        planned[step.name] = len(plan.cases)
        measure = plan.spec.measure
        if step.kind == "aa":
            return float(options["repeats"]) * len(plan.cases) * (measure.max_seconds + CASE) + PROCESS
        each = measure.max_seconds + measure.processes * CASE
        return len(plan.cases) * each + measure.processes * PROCESS
    if step.kind == "verify":
        return PROCESS + len(options["variants"]) * len(options["nm"]) * len(options["dtype"]) * 1.0
    if step.kind == "tune":
        return CELL * len(options["variants"]) * len(options["shape"]) * len(options["nm"])
    if step.kind in ("profile", "agree"):
        return min(planned[options["of"]], 8 * len(options["variants"])) * LOOK / 2 + PROCESS
    return {"build": BUILD, "sanitize": LOOK * 4 * options.get("jobs", 0), "doctor": 5.0, "render": 10.0}[step.kind]


@pytest.fixture(scope="module")
def timed() -> list[tuple[Step, float]]:
    """Every step with the seconds at which it would end."""

    def ends() -> Iterator[tuple[Step, float]]:
        planned: dict[str, int] = {}
        now = 0.0
        for step in read_campaign(data_folder("sweeps") / "campaign.toml").steps:
            now += seconds_of(step, planned)
            yield step, now

    return list(ends())


def end_of(timed: list[tuple[Step, float]], name: str) -> float:
    (found,) = [end for step, end in timed if step.name == name]
    return found


def test_the_whole_fits_half_an_hour(timed: list[tuple[Step, float]]) -> None:
    assert timed[-1][1] <= WHOLE, [(step.name, round(end)) for step, end in timed]


def test_the_first_minutes_judge_the_targets_and_a_lent_card_gets_to_the_tuned_cells(
    timed: list[tuple[Step, float]],
) -> None:
    assert end_of(timed, "verdict") <= VERDICT < SLICE, [(step.name, round(end)) for step, end in timed]
    assert end_of(timed, "paper-tuned") <= LENT, [(step.name, round(end)) for step, end in timed]


def test_the_order_is_correctness_then_the_verdict_then_the_papers_kernel_at_its_best_and_its_cells(
    timed: list[tuple[Step, float]],
) -> None:
    names = [step.name for step, _ in timed]
    wanted = ["doctor", "build", "verify-kernels", "verdict", "tune-paper", "verify-others", "paper-cold"]
    assert names[:8] == [*wanted, "paper-hot-graph"]
    assert names.index("tune-mma") < names.index("paper-tuned") < names.index("sanitize")
    by_name = {step.name: step for step, _ in timed}
    assert by_name["tune-paper"].options["nm"] == ["1", "2", "4", "8"]
    naive = {"mglu-naive-float", "mglu-naive-complement"}
    assert naive <= set(by_name["profile"].options["variants"])
    assert naive <= set(by_name["paper-tuned"].sweep.variants)
    assert naive <= {case.variant for case in make_plan(by_name["paper-cold"].sweep, FakeSession(cuda=True)).cases}
