"""Order statistics: coverage by simulation, the bootstrap against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mglubench.stats import (
    deviation_interval,
    median,
    median_interval,
    relative_half_width,
    share_interval,
    visible_change,
)

latencies = st.lists(st.floats(1, 1e9), min_size=1, max_size=200)


@given(latencies)
def test_the_interval_holds_the_median_and_is_made_of_samples(samples):
    low, high = median_interval(samples)
    assert low <= median(samples) <= high
    assert low in samples
    assert high in samples
    assert relative_half_width(samples) >= 0


@given(latencies, st.randoms(use_true_random=False))
def test_order_does_not_matter(samples, random):
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert median_interval(shuffled) == median_interval(samples)
    assert relative_half_width(shuffled) == relative_half_width(samples)


@given(latencies, st.floats(0.001, 1000))
def test_the_unit_does_not_matter(samples, factor):
    scaled = [factor * value for value in samples]
    assert relative_half_width(scaled) == pytest.approx(relative_half_width(samples), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("size", [6, 10, 11, 25, 100, 999, 1000, 2500])
def test_the_interval_covers_the_median_at_least_95_percent_of_the_time(size):
    rng = np.random.default_rng(size)
    trials = 3000
    drawn = rng.lognormal(0.0, 1.0, (trials, size))  # the true median is 1
    hits = sum(low <= 1.0 <= high for low, high in map(median_interval, drawn))
    assert hits / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize("size", [*range(6, 40), 200, 999, 1000, 5000])
def test_no_narrower_symmetric_interval_would_cover(size):
    low, high = median_interval(np.arange(size, dtype=float))
    assert low + high == size - 1
    outside = 2 * sum(math.comb(size, k) for k in range(int(low) + 1)) / 2**size
    narrower = outside + 2 * math.comb(size, int(low) + 1) / 2**size
    assert outside <= 0.05
    if size < 1000:
        assert narrower > 0.05


def test_few_samples_give_the_whole_range():
    for size in range(1, 6):
        assert median_interval(range(size)) == (0, size - 1)


def test_one_sample_and_zeros_have_no_relative_noise():
    assert relative_half_width([5.0]) == math.inf
    assert relative_half_width([0.0, 0.0, 0.0]) == math.inf


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
