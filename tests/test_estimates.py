"""Latencies and ratios of plain numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mglubench.estimates import Estimate, Series, group_medians, latencies, latency, ratio, ratios


def rounds_of(levels, per_round=5, copies=1, noise=0.0, seed=0):
    """A series with the given level per round."""
    rng = np.random.default_rng(seed)
    samples = [level * math.exp(noise * rng.standard_normal()) for level in levels for _ in range(per_round)]
    numbers = [r for r in range(len(levels)) for _ in range(per_round)]
    return Series.of(samples, numbers, [k % copies for k in range(len(samples))])


def test_a_latency_is_the_median_over_rounds_of_their_medians():
    series = Series.of([1.0, 2.0, 9.0, 4.0, 4.0, 4.0, 8.0], [0, 0, 0, 1, 1, 1, 2])
    estimate = latency(series)
    assert estimate.value == pytest.approx(4.0)
    assert (estimate.rounds, estimate.copies) == (3, 1)
    assert estimate.low < 4.0 < estimate.high
    assert estimate.low * estimate.high == pytest.approx(16.0)


def test_a_round_with_many_samples_weighs_no_more_than_one_with_few():
    series = Series.of([10.0] * 100 + [20.0, 30.0], [0] * 100 + [1, 2])
    assert latency(series).value == pytest.approx(20.0)


@pytest.mark.parametrize("rounds", [1, 2])
def test_too_few_rounds_give_an_infinite_interval_and_never_a_narrow_one(rounds):
    series = rounds_of([100.0] * rounds, per_round=50, copies=4, noise=0.01)
    for estimate in (latency(series), ratio(series, rounds_of([50.0] * rounds))):
        assert estimate.half_width == math.inf
        assert (estimate.low, estimate.high, estimate.relative) == (0.0, math.inf, math.inf)
        assert estimate.effective == 1.0


def test_a_run_that_knows_no_rounds_is_one_round():
    estimate = latency(Series.of([3.0, 1.0, 2.0]))
    assert (estimate.value, estimate.rounds, estimate.half_width) == (pytest.approx(2.0), 1, math.inf)


def test_what_a_round_does_to_both_sides_cancels_in_a_ratio():
    wild = [100.0, 180.0, 95.0, 130.0, 220.0, 101.0]
    base = rounds_of(wild, noise=0.003, seed=1)
    own = rounds_of([level / 2 for level in wild], noise=0.003, seed=2)
    speed_up = ratio(base, own)
    assert speed_up.value == pytest.approx(2.0, rel=0.01)
    assert speed_up.relative < 0.01
    assert latency(base).relative > 0.2


def test_only_rounds_that_both_sides_have_are_compared():
    base = Series.of([100.0, 200.0, 400.0, 800.0], [0, 1, 2, 3])
    own = Series.of([100.0, 200.0, 400.0, 1.0], [1, 2, 3, 9])
    estimate = ratio(base, own)
    assert (estimate.value, estimate.rounds) == (pytest.approx(2.0), 3)
    with pytest.raises(ValueError, match="no round in common"):
        ratio(Series.of([1.0], [0]), Series.of([1.0], [1]))


def test_a_case_over_itself_is_exactly_one():
    series = rounds_of([1.0, 2.0, 3.0], noise=0.1)
    estimate = ratio(series, series)
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 1.0, 1.0)


def test_a_ratio_the_other_way_round_is_its_reciprocal():
    base, own = rounds_of([10.0] * 6, 9, 3, 0.02, 1), rounds_of([7.0] * 6, 9, 3, 0.02, 2)
    there, back = ratio(base, own), ratio(own, base)
    assert there.value * back.value == pytest.approx(1.0)
    assert there.half_width == pytest.approx(back.half_width)
    assert there.inverse().value == pytest.approx(back.value)
    assert there.inverse().low == pytest.approx(1 / there.high)


def test_copies_that_differ_widen_the_interval_although_every_round_is_the_same():
    same = Series.of([1.0] * 32, [r for r in range(4) for _ in range(8)], [k % 8 for k in range(32)])
    levels = [1.0, 1.1, 0.95, 1.05, 0.9, 1.02, 0.98, 1.07]
    differing = Series.of(levels * 4, same.rounds.tolist(), same.copies.tolist())
    assert latency(same).half_width == 0.0
    assert latency(differing).half_width > 0.03
    assert latency(differing).copies == 8


def test_processes_that_differ_widen_the_interval_although_their_rounds_agree():
    levels = [1.0, 1.001, 0.999, 1.1, 1.101, 1.099, 1.05, 1.051, 1.049]
    one = rounds_of(levels, 4)
    several = Series.of(one.samples, one.rounds.tolist(), [], [r // 3 for r in one.rounds.tolist()])
    assert several.round_processes.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert latency(several).half_width > 2 * latency(one).half_width
    assert latency(several).value == latency(one).value
    assert several.only(np.array([0, 8])).round_processes.tolist() == [0, 2]


def test_effective_samples_are_fewer_where_rounds_differ():
    calm = rounds_of([1.0] * 8, 20, 1, 0.02)
    wild = rounds_of([1.0, 1.2, 0.9, 1.1, 0.8, 1.3, 1.0, 1.15], 20, 1, 0.02)
    assert latency(wild).effective < 0.1 * latency(calm).effective
    assert 1.0 <= latency(wild).effective <= latency(calm).effective <= 160


@given(
    st.lists(st.tuples(st.floats(1, 1e9), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60),
    st.floats(1e-3, 1e3),
)
def test_unit_and_order_do_not_matter(rows, factor):
    samples, rounds, copies = zip(*rows, strict=True)
    one = latency(Series.of(samples, rounds, copies))
    again = [part[::-1] for part in (samples, rounds, copies)]
    other = latency(Series.of([factor * value for value in again[0]], *again[1:]))
    assert other.value == pytest.approx(factor * one.value, rel=1e-9)
    assert other.half_width == pytest.approx(one.half_width, rel=1e-6, abs=1e-7)
    assert one.low <= one.value <= one.high
    assert one.half_width >= 0


def test_samples_without_a_scale_and_none_at_all():
    assert latency(Series.of([0.0, 0.0, 0.0], [0, 1, 2])).value >= 0.0
    with pytest.raises(ValueError, match="no samples"):
        latency(Series.of([]))
    with pytest.raises(ValueError, match="3 samples, 2 rounds"):
        Series.of([1.0, 2.0, 3.0], [0, 1])


def test_medians_of_groups():
    values = np.array([5.0, 1.0, 3.0, 2.0, 4.0])
    groups = np.array([0, 0, 0, 2, 2])
    found = group_medians(values, groups, 4)
    assert found[[0, 2]].tolist() == [3.0, 3.0]
    assert np.isnan(found[[1, 3]]).all()


def test_the_shown_noise_is_the_half_width_of_the_interval_over_the_value():
    estimate = Estimate(10.0, 0.1, 5, 4, 20.0)
    assert estimate.relative == pytest.approx((estimate.high - estimate.low) / 2 / 10.0)


def test_many_series_say_together_what_each_says_alone():
    shapes = [(6, 10, 5), (6, 10, 5), (8, 10, 5), (6, 7, 1), (6, 10, 5), (2, 4, 2), (1, 1, 1)]

    def made():
        drawn = [rounds_of([100.0 + n] * r, k, c, 0.02, n) for n, (r, k, c) in enumerate(shapes)]
        shared = [Series.of(one.samples, one.rounds, one.copies, one.rounds // 3) for one in drawn[:3]]
        return [*drawn, *shared, rounds_of([90.0] * 4, 10, 5, 0.02, 99).only(np.array([1, 3]))]

    assert latencies(made()) == [latency(series) for series in made()]
    places = [(a, b) for a in range(len(made())) for b in range(len(made()))]
    together, alone = made(), made()
    pairs = [(together[a], together[b]) for a, b in places if (a, b) != (6, 10) != (b, a)]
    found = ratios(pairs)
    assert found == [ratio(alone[a], alone[b]) for a, b in places if (a, b) != (6, 10) != (b, a)]
    assert len({estimate.rounds for estimate in found}) > 3


def test_series_that_are_alike_are_stacked():
    many = [rounds_of([100.0 + n] * 6, 10, 5, 0.02, n) for n in range(4)]
    stack = Series(np.stack([one.samples for one in many]), many[0].rounds, many[0].copies, many[0].processes)
    for name in ("round_medians", "within"):
        np.testing.assert_array_equal(getattr(stack, name), [getattr(one, name) for one in many])
    np.testing.assert_array_equal(stack.between_copies.variance, [one.between_copies.variance for one in many])
    assert stack.only(np.array([0, 2])).samples.shape == (4, 20)
