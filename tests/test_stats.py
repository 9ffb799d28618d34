"""Order statistics: coverage by simulation, the bootstrap against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mglubench.stats import (
    deviation_interval,
    lower_rank,
    median,
    medians,
    medians_in_turn,
    share_interval,
    visible_change,
)

latencies = st.lists(st.floats(1, 1e9), min_size=1, max_size=200)


def interval_of(samples):
    """The order statistics between which the median is said to be."""
    ordered = np.sort(samples)
    rank = lower_rank(len(ordered))
    return ordered[rank], ordered[len(ordered) - 1 - rank]


@given(latencies)
def test_the_interval_holds_the_median(samples):
    low, high = interval_of(samples)
    assert low <= median(samples) <= high


@given(st.lists(st.lists(st.floats(1, 1e9), min_size=1, max_size=9), max_size=9))
def test_medians_of_many_are_those_of_each(runs):
    found = medians_in_turn(np.concatenate([[], *runs]), np.array([len(run) for run in runs], dtype=np.int64))
    assert found.tolist() == [median(run) for run in runs]
    for run in runs:
        assert medians(np.array([run, run])).tolist() == [median(run)] * 2


@pytest.mark.parametrize("size", [6, 10, 11, 25, 100, 999, 1000, 2500])
def test_the_interval_covers_the_median_at_least_95_percent_of_the_time(size):
    rng = np.random.default_rng(size)
    trials = 3000
    drawn = rng.lognormal(0.0, 1.0, (trials, size))  # the true median is 1
    hits = sum(low <= 1.0 <= high for low, high in map(interval_of, drawn))
    assert hits / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize("size", [*range(6, 40), 200, 999, 1000, 5000])
def test_no_narrower_symmetric_interval_would_cover(size):
    low, high = interval_of(np.arange(size, dtype=float))
    assert low + high == size - 1
    outside = 2 * sum(math.comb(size, k) for k in range(int(low) + 1)) / 2**size
    narrower = outside + 2 * math.comb(size, int(low) + 1) / 2**size
    assert outside <= 0.05
    if size < 1000:
        assert narrower > 0.05


def test_few_samples_give_the_whole_range():
    for size in range(1, 6):
        assert interval_of(range(size)) == (0, size - 1)


@pytest.mark.parametrize("count", [2, 3, 6, 12, 30])
def test_the_interval_of_a_deviation_covers_the_true_one(count):
    rng = np.random.default_rng(3)
    found = rng.normal(0, 2.0, (4000, count)).std(axis=1, ddof=1)
    ends = [deviation_interval(float(deviation), count) for deviation in found]
    assert np.mean([low <= 2.0 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.012)
    # Both ends miss alike.
    assert np.mean([high < 2.0 for _, high in ends]) == pytest.approx(0.025, abs=0.009)


def test_the_interval_of_a_share_is_wilsons():
    assert share_interval(0, 0) == (0.0, 1.0)
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    low, high = share_interval(12, 12)
    assert (low, high) == (pytest.approx(0.7575, abs=1e-3), 1.0)


@pytest.mark.parametrize(("runs", "figures"), [(1, 1), (3, 10), (5, 4)])
def test_a_visible_change_is_seen_in_four_of_five_and_nothing_in_one_of_twenty_jobs(runs, figures):
    rng = np.random.default_rng(4)
    change = visible_change(0.02, runs, figures)
    sides = rng.normal(0, 0.02, (4000, 2, figures, runs)).mean(axis=3)
    differences = sides[:, 1] - sides[:, 0]
    # The threshold that gives 5 % false alarms for the job, by simulation.
    threshold = np.quantile(np.abs(differences).max(axis=1), 0.95)
    assert np.mean(np.abs(differences[:, 0] + change) > threshold) == pytest.approx(0.8, abs=0.03)
