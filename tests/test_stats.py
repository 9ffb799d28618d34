"""Order statistics: coverage by simulation, the bootstrap against brute force."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mglubench.stats import bootstrap_medians, interval, median, median_interval, relative_half_width

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


@pytest.mark.parametrize(
    "samples", [[7.0], [1.0, 2.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 3.0, 9.0, 27.0]]
)
def test_bootstrap_medians_follow_the_exact_resampling_law(samples):
    everything = np.median(np.array(list(product(samples, repeat=len(samples)))), axis=1)
    values, counts = np.unique(everything, return_counts=True)
    exact = dict(zip(values, counts / len(everything), strict=True))
    draws = bootstrap_medians(samples, np.random.default_rng(1), 40_000)
    seen, counts = np.unique(draws, return_counts=True)
    assert set(seen) <= set(exact)
    found = dict(zip(seen, counts / len(draws), strict=True))
    for value, probability in exact.items():
        assert found.get(value, 0.0) == pytest.approx(probability, abs=0.012)


@pytest.mark.parametrize("size", [20, 51])
def test_bootstrap_medians_agree_with_resampling(size):
    rng = np.random.default_rng(2)
    samples = rng.lognormal(0, 0.5, size)
    resampled = np.median(rng.choice(samples, (20_000, size)), axis=1)
    ours = bootstrap_medians(samples, rng, 20_000)
    for share in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert np.mean(ours <= np.quantile(resampled, share)) == pytest.approx(
            np.mean(resampled <= np.quantile(resampled, share)), abs=0.02
        )


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=50), st.integers(0, 1000))
def test_bootstrap_medians_stay_inside_the_samples(samples, seed):
    draws = bootstrap_medians(samples, np.random.default_rng(seed), 100)
    assert draws.min() >= min(samples)
    assert draws.max() <= max(samples)
    low, high = interval(draws)
    assert low <= np.median(draws) <= high


def test_bootstrap_interval_of_a_speed_up_covers_the_true_ratio():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        slow, fast = rng.lognormal(math.log(3), 0.1, 31), rng.lognormal(0.0, 0.1, 31)
        low, high = interval(bootstrap_medians(slow, rng, 400) / bootstrap_medians(fast, rng, 400))
        hits += low <= 3.0 <= high
    assert hits / 400 > 0.91
