"""The rule for runs on numbers of known truth: its rate of false alarms, what it sees, what it must not believe."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mglubench.results.between_runs import BetweenRuns, Known, Sample, location, standard_error

FIGURES, JOBS = 12, 300


def job(rng, *, runs=3, own=0.01, change=0.0, known=True, draw=None):
    """Figures of two sides of identical code, the first of them changed."""
    draw = draw or (lambda: rng.normal(0, own, runs))
    samples = []
    for number in range(FIGURES):
        moved = change if number == 0 else 0.0
        spread = Known(own * math.sqrt(rng.chisquare(11) / 11), 11) if known else None
        samples.append(Sample(draw(), draw() + moved, known=spread))
    return samples


def _alarms(changes):
    return any(change.believed and change.size > 0 for change in changes)


@pytest.mark.parametrize(("runs", "known"), [(1, True), (2, True), (3, True), (3, False), (5, False)])
def test_clean_jobs_alarm_in_no_more_than_one_of_twenty(runs, known):
    rng = np.random.default_rng(0)
    rule = BetweenRuns()
    alarms = sum(_alarms(rule.judge(job(rng, runs=runs, known=known))) for _ in range(JOBS))
    assert alarms <= 0.05 * JOBS + 2 * math.sqrt(0.05 * 0.95 * JOBS)


def test_a_change_of_the_visible_size_is_seen_in_four_of_five_jobs():
    rng = np.random.default_rng(1)
    rule = BetweenRuns()
    visible = float(np.median([rule.judge(job(rng))[0].visible for _ in range(50)]))
    seen = sum(rule.judge(job(rng, change=visible))[0].believed for _ in range(JOBS)) / JOBS
    assert 0.7 <= seen <= 0.97
    assert sum(rule.judge(job(rng, change=0.1))[0].believed for _ in range(JOBS)) == JOBS


@pytest.mark.parametrize("known", [True, False])
def test_a_machine_with_two_speeds_does_not_alarm(known):
    rng = np.random.default_rng(2)

    def two_speeds():
        return 0.2 * rng.integers(0, 2, 3) + rng.normal(0, 0.005, 3)

    rule, alarms = BetweenRuns(), 0
    for _ in range(JOBS):
        samples = job(rng, own=0.1, known=known, draw=two_speeds)
        alarms += _alarms(rule.judge(samples))
    assert alarms <= 0.05 * JOBS + 2 * math.sqrt(0.05 * 0.95 * JOBS)


def test_one_run_that_went_astray_does_not_alarm():
    rng = np.random.default_rng(3)

    def astray():
        runs = rng.normal(0, 0.01, 3)
        runs[rng.integers(3)] += 0.7 * (rng.random() < 0.2)
        return runs

    rule = BetweenRuns()
    alarms = sum(_alarms(rule.judge(job(rng, known=False, draw=astray))) for _ in range(JOBS))
    assert alarms <= 0.05 * JOBS


def test_nothing_known_believes_nothing_and_a_run_alone_has_no_interval():
    (alone,) = BetweenRuns().judge([Sample(np.array([0.0]), np.array([1.0]))])
    assert not alone.believed
    assert not alone.measured
    assert alone.interval() == (-math.inf, math.inf)
    assert alone.visible == math.inf
    (by_interval,) = BetweenRuns().judge([Sample(np.array([0.0]), np.array([0.01]), within=[1e-4, 1e-4])])
    assert not by_interval.measured
    assert math.isfinite(by_interval.visible)


def test_identical_numbers_are_no_change_and_more_runs_see_less():
    zeros = np.zeros(3)
    (same,) = BetweenRuns().judge([Sample(zeros, zeros)])
    assert (same.size, same.believed) == (0.0, False)
    change = BetweenRuns().alone(Sample(zeros, zeros + 0.01, known=Known(0.03, 11)))
    more = change.more_runs(0.06, 0.05)
    assert more is not None
    assert more > 0
    assert change.more_runs(1e-4, 0.05) is None


def test_a_side_is_a_mean_and_no_number_of_runs_averages_an_hour_away():
    assert location(np.array([0.0, 0.1])) == pytest.approx(0.05)
    assert location(np.array([0.0, 0.1, 0.2, 0.3, 9.0])) == pytest.approx(0.2)
    errors = [standard_error(0.01, n, n) for n in (1, 3, 10, 10000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0.003
