"""Two sides of runs, judged: what was planted is found, what was not is not, and what cannot be told is said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import mglubench
from mglubench.errors import UsageError
from mglubench.results.compare import Rules, compare_runs
from mglubench.results.judgement import LATENCY, FailOn, Reason, Verdict
from mglubench.results.run_figures import CaseFigures
from mglubench.status import Status
from tests.conftest import run_command
from tests.results.compared import CASES, case_of, header, made_run, world

RULES = Rules(recall=lambda device: None)
NM1 = case_of("mglu-numba-cpu", 1)


def judged(base, new, rules=RULES):
    return compare_runs(base, new, rules=rules)


def of(comparison, case, what=LATENCY):
    (found,) = [j for j in comparison.judgements if j.key == case.key and j.what == what]
    return found


def test_a_planted_slow_down_is_slower_and_all_else_is_not():
    rng = np.random.default_rng(0)
    found = judged(world(3, rng), world(3, rng, first=3, changed={NM1: 0.1}))
    slow = of(found, NM1)
    assert (slow.verdict, slow.reason, slow.regression) == (Verdict.SLOWER, Reason.BEYOND_SPREAD, True)
    assert slow.low < 0.105 < slow.high
    assert slow.advice
    assert slow.visible < 0.1
    assert of(found, NM1, "vs_glu").verdict is Verdict.SLOWER
    others = [j for j in found.judgements if j.key != NM1.key]
    assert {j.verdict for j in others} <= {Verdict.SAME, Verdict.UNCLEAR}
    assert found.exit_code() == 3
    assert found.exit_code(frozenset({FailOn.MISSING})) == 0
    assert found.worst_first()[0].key == NM1.key


def clocked(runs, slowed=1.0):
    """Runs of a GPU at 1980 MHz, but NM1, which was measured at a part of it."""
    clocks = {case.key: 1980.0 * (slowed if case == NM1 else 1.0) for case in CASES}
    return [
        replace(run, cases={key: replace(found, sm_mhz=clocks[key]) for key, found in run.cases.items()})
        for run in runs
    ]


@pytest.mark.parametrize(("clock", "verdict"), [(1.0, Verdict.SLOWER), (float(np.exp(-0.1)), Verdict.UNCLEAR)])
def test_a_latency_that_the_clock_explains_is_not_slower(clock, verdict):
    """In cycles, latency times clock, the change must be there as well."""
    rng = np.random.default_rng(0)
    base, new = world(3, rng), world(3, rng, first=3, changed={NM1: 0.1})
    found = of(judged(clocked(base), clocked(new, clock)), NM1)
    assert found.verdict is verdict
    assert (found.reason is Reason.NOT_IN_CYCLES) == (verdict is Verdict.UNCLEAR)
    # Where one run tells no clock, the latency stands alone.
    assert of(judged(base, clocked(new, clock)), NM1).verdict is Verdict.SLOWER


def test_a_speed_up_is_faster_and_no_regression():
    rng = np.random.default_rng(1)
    found = judged(world(3, rng), world(3, rng, first=3, changed={NM1: -0.1}))
    assert of(found, NM1).verdict is Verdict.FASTER
    assert found.exit_code() == 0


def test_identical_code_is_the_same_on_a_quiet_machine_whatever_all_cases_do_together():
    rng = np.random.default_rng(2)
    found = judged(world(5, rng, own=0.005), world(5, rng, first=5, own=0.005, common=0.005))
    assert set(found.counts()) == {Verdict.SAME}


def test_what_one_side_lacks_is_said_and_never_skipped():
    rng = np.random.default_rng(3)
    base, new = world(2, rng, cases=CASES[:-1]), world(2, rng, first=2, cases=CASES[1:])
    found = judged(base, new)
    assert of(found, CASES[0]).reason is Reason.NOT_IN_NEW
    assert of(found, CASES[-1]).verdict is Verdict.NEW
    assert found.exit_code() == 4
    assert found.exit_code(frozenset({FailOn.SLOWER})) == 0
    with pytest.raises(UsageError, match="no case in common"):
        judged(world(1, rng, cases=CASES[:2]), world(1, rng, first=1, cases=CASES[2:]))


@pytest.mark.parametrize(
    ("status", "verdict", "reason", "code"),
    [
        (Status.CRASH, Verdict.FAILED, Reason.FAILS_NOW, 1),
        (Status.WRONG, Verdict.FAILED, Reason.FAILS_NOW, 1),
        (Status.OOM, Verdict.FAILED, Reason.FAILS_NOW, 4),
        (Status.UNAVAILABLE, Verdict.MISSING, Reason.ABSENT_NOW, 4),
    ],
)
def test_a_case_that_fails_now_is_told_with_its_reason(status, verdict, reason, code):
    rng = np.random.default_rng(4)
    base, new = world(2, rng), world(2, rng, first=2)
    failed = {NM1.key: CaseFigures(NM1, status, "planted")}
    new = [replace(run, cases={**run.cases, **failed}) for run in new]
    found = judged(base, new)
    assert (of(found, NM1).verdict, of(found, NM1).reason) == (verdict, reason)
    assert "planted" in of(found, NM1).words
    assert found.exit_code() == code
    back = of(judged(new, base), NM1)
    assert (back.verdict, back.reason) == (Verdict.NEW, Reason.FAILED_BEFORE)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"device": {"name": "other"}}, Reason.OTHER_DEVICE),
        ({"device": {"torch_threads": 1}}, Reason.OTHER_THREADS),
        ({"device": {"nvml": {"driver": "560"}}}, Reason.OTHER_DRIVER),
        ({"device": {"nvml": {"driver": "550", "power_limit_watts": 300.0}}}, Reason.OTHER_CLOCKS),
        ({"sweep": {"measure": {"rounds": 12}}}, Reason.OTHER_MEASURING),
        ({"schema": 1}, Reason.OTHER_MEASURING),
        ({"fake": True}, Reason.FAKE),
    ],
)
def test_other_conditions_are_incomparable_unless_forced(more, reason):
    logs = dict.fromkeys(CASES, 0.0)
    card = {"nvml": {"driver": "550", "power_limit_watts": 350.0}}
    base = [made_run(0, logs, device=card), made_run(1, logs, device=card)]
    more = {**more, "device": {**card, **more.get("device", {})}}
    new = [
        replace(run, header=header(n, **more)) for n, run in enumerate(world(2, np.random.default_rng(5), first=2), 2)
    ]
    found = judged(base, new)
    assert {j.reason for j in found.judgements} == {reason}
    assert found.exit_code() == 4
    forced = judged(base, new, replace(RULES, force=True))
    assert forced.forced
    assert Verdict.INCOMPARABLE not in forced.counts()
    assert reason in {d.reason for d in forced.differences}


def test_another_dtype_is_one_case_that_cannot_be_compared():
    logs = dict.fromkeys(CASES, 0.0)
    half = replace(NM1, dtype="float16")
    base = [made_run(0, logs)]
    new = [made_run(1, {half if case == NM1 else case: 0.0 for case in CASES})]
    found = judged(base, new)
    assert of(found, NM1).reason is Reason.OTHER_DTYPE
    assert half.key not in found.cases
    assert Verdict.NEW not in found.counts()
    assert Verdict.INCOMPARABLE not in judged(base, new, replace(RULES, force=True)).counts()


def test_a_run_says_nothing_about_itself():
    runs = world(2, np.random.default_rng(6))
    with pytest.raises(UsageError, match="given twice"):
        judged(runs, [runs[0]])


def test_one_run_a_side_without_a_known_spread_calls_nothing_the_same():
    rng = np.random.default_rng(7)
    found = judged(world(1, rng), world(1, rng, first=1))
    compared = [j for j in found.judgements if j.visible is not None]
    assert {j.verdict for j in compared} == {Verdict.UNCLEAR}
    assert {j.reason for j in compared} == {Reason.SPREAD_UNKNOWN}
    assert "mglubench repeat" in compared[0].advice


def test_stored_runs_are_compared_from_python(tmp_path):
    sweep = ("sweep", "--executor", "fake", "--shape", "64x96", "--nm", "1", "--no-ceiling")
    for name in ("a", "b"):
        assert run_command(*sweep, "--out", name, cwd=tmp_path).code == 0
    found = mglubench.compare(tmp_path / "a", [tmp_path / "b"])
    assert found.fake
    assert found.exit_code() == 0
    assert {j.verdict for j in found.judgements if j.what == "bytes_total"} == {Verdict.SAME}


def test_where_a_run_found_the_cores_is_no_other_way_to_measure():
    """What a run was lucky with is told beside how it took samples; two runs of the same code differ in it."""

    def told(runs, *places):
        for run, place in zip(runs, places, strict=True):
            cases = {key: replace(case, timer=f"{case.timer}{place}") for key, case in run.cases.items()}
            yield replace(run, cases=cases)

    rng = np.random.default_rng(5)
    near, apart = "; cores 48 ns apart", "; cores 120 ns apart, 2 rounds at 260 ns set aside"
    found = judged([*told(world(2, rng), near, "")], [*told(world(2, rng, first=2), "", apart)])
    assert Verdict.INCOMPARABLE not in found.counts()
    other = judged([*told(world(2, rng), near, "")], [*told(world(2, rng, first=2), "", "; walked")])
    assert set(other.counts()) == {Verdict.INCOMPARABLE}


def test_a_ratio_that_fell_because_its_baseline_got_faster_is_no_regression():
    rng = np.random.default_rng(8)
    glu = CASES[0]
    found = judged(world(5, rng, own=0.005), world(5, rng, first=5, own=0.005, changed={glu: -0.3}))
    assert of(found, glu).verdict is Verdict.FASTER
    fell = of(found, NM1, "vs_glu")
    assert (fell.verdict, fell.reason, fell.regression) == (Verdict.SLOWER, Reason.BASELINE_MOVED, False)
    assert "it is the baseline" in fell.words
    assert found.exit_code() == 0


def with_rounds(runs, rng):
    """The runs with six rounds behind each latency, so that cases can be held against each other."""
    return [
        replace(
            run,
            cases={
                key: replace(
                    case,
                    rounds={(0, n): math.log(case.readings[LATENCY].value) + rng.normal(0, 0.003) for n in range(6)},
                )
                for key, case in run.cases.items()
            },
        )
        for run in runs
    ]


def test_a_ratio_whose_latency_did_not_move_is_unclear():
    rng = np.random.default_rng(9)
    base, new = (with_rounds(world(3, rng, first=first, own=0.005), rng) for first in (0, 3))
    fallen = []
    for run in new:
        case = run.cases[NM1.key]
        ratio = replace(case.readings["vs_glu"], value=case.readings["vs_glu"].value * 0.8)
        fallen.append(
            replace(run, cases={**run.cases, NM1.key: replace(case, readings={**case.readings, "vs_glu": ratio})})
        )
    found = judged(base, fallen)
    fell = of(found, NM1, "vs_glu")
    assert (fell.verdict, fell.reason) == (Verdict.UNCLEAR, Reason.ONLY_AGAINST_OTHERS)
    assert "but its latency against the others by" in fell.words
    assert found.exit_code() == 0
