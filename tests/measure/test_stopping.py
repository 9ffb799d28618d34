"""Stopping rules are pure functions of plain numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.measure.stopping import FEW_SAMPLES, PLATEAU_SAMPLES, SetLimits, set_stop, stop_reason

QUIET = [100.0, 100.1]
LOUD = [100.0, 200.0]


def settings(**changes):
    values = {"target_noise": 0.01, "min_samples": 10, "max_samples": 500, "max_seconds": 1.0, **changes}
    return MeasureSettings(**values)


def test_quiet_samples_reach_the_target_at_min_samples_and_not_before():
    assert stop_reason(QUIET * 4, 0.1, settings()) is None
    assert stop_reason(QUIET * 5, 0.1, settings()) == "target"


def test_loud_samples_do_not_reach_the_target():
    assert stop_reason(LOUD * 5, 0.1, settings()) is None
    assert stop_reason(LOUD * 5, 0.1, settings(target_noise=0.9)) == "target"


def test_time_ends_a_loud_case_that_has_a_few_samples():
    few = LOUD * 3
    assert len(few) > FEW_SAMPLES
    assert stop_reason(few, 0.99, settings()) is None
    assert stop_reason(few, 1.0, settings()) == "time"


def test_time_does_not_end_a_case_without_a_median():
    assert stop_reason(LOUD[:2], 100.0, settings()) is None
    assert stop_reason([], 100.0, settings()) is None
    assert stop_reason([1.0, 2.0, 3.0], 100.0, settings(min_samples=3)) == "time"


def test_the_hard_limit_comes_first():
    assert stop_reason(QUIET * 250, 100.0, settings()) == "samples"
    assert stop_reason(LOUD * 2, 0.0, settings(min_samples=3, max_samples=4)) == "samples"


def test_noise_that_no_longer_shrinks_is_a_plateau():
    # Two levels that take turns: more samples do not narrow the interval of the median.
    drift = LOUD * (PLATEAU_SAMPLES // 2)
    assert stop_reason(drift, 0.5, settings()) == "plateau"
    assert stop_reason(drift[:-1], 0.5, settings()) is None
    assert stop_reason(drift, 0.5, settings(min_samples=PLATEAU_SAMPLES)) is None


def test_noise_that_still_shrinks_is_no_plateau():
    import numpy as np

    samples = list(100 * np.exp(np.random.default_rng(3).normal(0, 0.3, 128)))
    assert stop_reason(samples, 0.5, settings()) is None


@given(st.lists(st.floats(1, 1e6), max_size=40), st.floats(0, 10))
def test_every_verdict_is_a_word_and_the_limits_hold(samples, seconds):
    limits = settings(max_samples=30)
    reason = stop_reason(samples, seconds, limits)
    assert reason in (None, "target", "time", "samples", "plateau")
    assert (reason == "samples") == (len(samples) >= 30)
    if reason is None:
        assert seconds < 1.0 or len(samples) < FEW_SAMPLES


@pytest.mark.parametrize("samples", [[0.0] * 20, [5.0]])
def test_samples_without_a_scale_never_reach_the_target(samples):
    assert stop_reason(samples, 0.0, settings(min_samples=3)) is None


LIMITS = SetLimits(target_noise=0.02, max_seconds=10.0)


@pytest.mark.parametrize(
    ("half_widths", "rounds", "seconds", "reason"),
    [
        ([0.01, 0.02], 5, 1.0, "target"),
        ([0.01, 0.021], 5, 1.0, None),
        ([0.01, 0.5], 5, 10.0, "time"),
        ([0.01, 0.02], 4, 1.0, None),
        ([0.5], 4, 1000.0, None),
        ([math.inf], 50, 9.0, None),
        ([math.inf], 1000, 9.0, "rounds"),
        ([], 5, 9.0, None),
        ([], 5, 10.0, "time"),
        ([0.01], 2000, 1000.0, "target"),
    ],
)
def test_a_set_ends_as_a_whole_when_every_ratio_is_known_or_time_is_up(half_widths, rounds, seconds, reason):
    assert set_stop(half_widths, rounds, seconds, LIMITS) == reason


def test_a_set_of_few_rounds_can_be_asked_for():
    assert set_stop([0.5], 3, 10.0, SetLimits(0.02, 10.0, min_rounds=3)) == "time"
    assert set_stop([0.5], 7, 1.0, SetLimits(0.02, 10.0, max_rounds=7)) == "rounds"
