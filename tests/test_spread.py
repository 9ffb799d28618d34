"""The rule for intervals: its constants against simulation, and how often it covers a truth that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mglubench.spread import (
    MANY_ROUNDS,
    Part,
    between_copies,
    between_processes,
    half_width,
    median_variance,
    student_t,
)
from tests.benchmarks.coverage import World, case, latency_coverage, machine, ratio_coverage, true_level

RUNS = 3000
# Three standard errors of a share of 95 % in so many runs.
SLACK = 3 * math.sqrt(0.95 * 0.05 / RUNS)


@pytest.mark.parametrize("of_copies", [0.0, 0.02, 0.05])
@pytest.mark.parametrize(("of_rounds", "own"), [(0.0, 0.0), (0.02, 0.0), (0.1, 0.02)])
@pytest.mark.parametrize(("rounds", "copies", "samples"), [(5, 9, 18), (8, 5, 20), (15, 5, 10)])
def test_intervals_cover_the_truth_as_often_as_they_say(rounds, copies, samples, of_rounds, own, of_copies):
    world = World(rounds, copies, samples, of_rounds, of_copies, own)
    # A variance is never taken below 0, so copies that do not differ at all leave the interval a little too wide.
    most = 0.97 if of_copies else 0.983
    for cover in (latency_coverage, ratio_coverage):
        assert 0.93 - SLACK <= cover(world, RUNS) <= most + SLACK


@pytest.mark.parametrize("outliers", [0.0, 0.05])
def test_a_drift_over_the_run_does_not_touch_ratios_and_widens_latencies(outliers):
    world = World(drift=0.1, of_rounds=0.01, of_copies=0.02, outliers=outliers)
    assert 0.93 - SLACK <= ratio_coverage(world, RUNS) <= 0.97 + SLACK
    assert latency_coverage(world, RUNS) >= 0.95 - SLACK


@pytest.mark.parametrize(("rounds", "processes", "least"), [(6, 2, 0.84), (6, 3, 0.93), (6, 6, 0.93), (12, 4, 0.93)])
@pytest.mark.parametrize("of_processes", [0.0, 0.03])
def test_what_differs_between_processes_is_in_the_interval(rounds, processes, least, of_processes):
    world = World(rounds, 6, 12, 0.02, 0.02, 0.01, processes=processes, of_processes=of_processes)
    assert latency_coverage(world, 1000) >= least - 0.02
    assert ratio_coverage(world, 1000) >= least - 0.02


def test_a_process_for_every_round_leaves_copies_and_processes_to_the_rounds():
    rng = np.random.default_rng(5)
    world = World(6, 4, 12, of_copies=0.05, processes=6, of_processes=0.03)
    rounds, cells = case(world, machine(world, 50, rng), rng)
    part = between_copies(rounds, cells)
    assert not part.variance.any()
    assert not between_processes(rounds, world.process_of, [part]).variance.any()
    assert half_width(rounds, [part], world.process_of)[0] == pytest.approx(half_width(rounds, [])[0])


def test_processes_far_apart_widen_the_interval_that_their_rounds_alone_would_give():
    rounds = np.array([0.0, 0.001, -0.001, 0.1, 0.101, 0.099, 0.05, 0.051, 0.049])
    apart = half_width(rounds, [], np.repeat([0, 1, 2], 3))[0]
    assert apart > 2 * half_width(rounds, [])[0]


def test_few_copies_are_taken_as_more_uncertain_than_they_look():
    for copies, least in ((2, 0.90), (3, 0.93)):
        for of_copies in (0.0, 0.02, 0.05):
            assert ratio_coverage(World(5, copies, 24, 0.02, of_copies), RUNS) >= least


def test_copies_that_differ_are_in_the_interval_although_every_round_sees_the_same_ones():
    rng = np.random.default_rng(4)
    widths, errors = [], []
    for of_copies in (0.0, 0.05):
        world = World(10, 8, 24, of_copies=of_copies)
        rounds, cells = case(world, machine(world, 500, rng), rng)
        widths.append(np.median(half_width(rounds, [between_copies(rounds, cells)])[0]))
        errors.append(np.std(np.median(rounds, axis=1)))
    assert widths[1] > 3 * widths[0]
    assert widths[1] / widths[0] == pytest.approx(errors[1] / errors[0], rel=0.5)
    blind = half_width(rounds, [])[0]
    assert np.median(blind) < 0.5 * widths[1]


def test_fewer_than_three_rounds_say_nothing():
    nothing = Part(np.zeros(()), np.zeros(()), 1)
    for rounds in ([0.1], [0.1, 0.2]):
        assert half_width(np.array(rounds), [nothing]) == (math.inf, math.inf)
    assert math.isfinite(half_width(np.array([0.1, 0.2, 0.1]), [nothing])[0])


def test_rounds_that_agree_to_the_last_digit_have_no_width():
    width, variance = half_width(np.full(6, 0.25), [])
    assert (width, variance) == (0.0, 0.0)


def test_a_round_of_one_copy_each_leaves_the_copies_to_the_rounds():
    rounds = np.array([0.0, 0.1, 0.0, 0.1, 0.0])
    cells = np.full((5, 2), np.nan)
    cells[np.arange(5), np.arange(5) % 2] = rounds
    assert between_copies(rounds, cells).variance == 0.0
    assert half_width(rounds, [between_copies(rounds, cells)])[0] > 0.05


def test_one_bad_cell_does_not_make_copies_differ():
    rng = np.random.default_rng(1)
    cells = 0.01 * rng.standard_normal((8, 6))
    plain = between_copies(np.median(cells, axis=1), cells)
    cells[3, 2] = 1.0
    spoiled = between_copies(np.median(cells, axis=1), cells)
    assert spoiled.at_most < 4 * plain.at_most


@pytest.mark.parametrize("n", [1, 2, 3, 6, 17, 30])
def test_the_variance_of_a_median_agrees_with_simulation(n):
    medians = np.median(np.random.default_rng(n).standard_normal((100_000, n)), axis=1)
    assert median_variance(n) == pytest.approx(n * medians.var(), rel=0.03)
    assert median_variance(n) <= median_variance(1000) == pytest.approx(math.pi / 2)


@pytest.mark.parametrize("n", [3, 5, 12, 30, 60])
def test_rounds_alone_give_exactly_the_interval_of_a_median(n):
    rounds = np.random.default_rng(n).standard_normal((20_000, n))
    half, _ = half_width(rounds, [])
    assert np.mean(np.abs(np.median(rounds, axis=1)) <= half) == pytest.approx(0.95, abs=0.008)


def test_student_s_t_is_the_textbook_s():
    assert student_t(np.array([1.0, 4.0, 25.0, 1e9])) == pytest.approx([12.706, 2.776, 2.060, 1.960], abs=0.003)
    # Exact for 2 degrees of freedom, by its closed form, and between whole numbers it falls.
    assert float(student_t(np.array(2.0))) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), abs=0.001)
    steps = student_t(np.linspace(1, 50, 200))
    assert (np.diff(steps) < 0).all()
    assert float(student_t(np.array(0.2))) == pytest.approx(12.706)


def test_the_truth_of_the_simulation_is_the_median_of_noise_with_outliers():
    world = World(5, 1, 200, outliers=0.05)
    rounds, _ = case(world, np.zeros((400, 5)), np.random.default_rng(3))
    assert rounds.mean() == pytest.approx(true_level(0.05), abs=1.5e-4)
    assert true_level(0.0) == pytest.approx(0.0, abs=1e-9)
    assert MANY_ROUNDS > 5
