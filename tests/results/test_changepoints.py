"""Change points on series whose truth is known: no change in noise, real ones where they are, spikes set aside."""

from __future__ import annotations

import numpy as np
import pytest

from mglubench.results.changepoints import FLOOR, LEAST, Changes, find_changes

SERIES = 300


def drawn(points: int, kind: str, seed: int) -> np.ndarray:
    generator = np.random.default_rng((points, seed))
    noise = generator.normal(size=points) if kind == "normal" else generator.standard_t(4, size=points)
    return 7.0 + 0.02 * noise


@pytest.mark.parametrize("kind", ["normal", "heavy tails"])
@pytest.mark.parametrize("points", [4, 5, 8, 12, 30])
def test_noise_has_no_change(points: int, kind: str) -> None:
    """At most one series of a hundred is meant to have one; a tail of the count of 300 is allowed for."""
    found = [find_changes(list(drawn(points, kind, seed))) for seed in range(SERIES)]
    assert sum(bool(one.starts) for one in found) <= 9
    assert sum(one.last for one in found) <= 9


@pytest.mark.parametrize(("points", "at"), [(12, 6), (20, 3), (20, 18), (30, 15)])
@pytest.mark.parametrize("size", [0.2, -0.2])
def test_a_change_is_found_where_it_is(points: int, at: int, size: float) -> None:
    found = 0
    for seed in range(100):
        series = drawn(points, "normal", seed)
        series[at:] += size
        found += find_changes(list(series)).starts == (at,)
    assert found >= 90


def test_two_changes_are_two_points() -> None:
    series = drawn(30, "normal", 1)
    series[10:] += 0.15
    series[20:] -= 0.3
    assert find_changes(list(series)).starts == (10, 20)


def test_a_spike_is_no_change() -> None:
    for seed in range(50):
        series = drawn(16, "normal", seed)
        series[7] += 0.5
        found = find_changes(list(series))
        assert found.outliers == (7,)
        assert found.starts == ()


def test_the_last_point_alone_is_told_and_proves_nothing() -> None:
    series = drawn(16, "normal", 3)
    series[-1] += 0.3
    found = find_changes(list(series))
    assert (found.starts, found.last) == ((), True)
    # Once another is there, it is a level.
    assert find_changes([*series, series[-1]]).starts == (15,)


def test_what_is_known_of_the_noise_is_believed() -> None:
    """Few points that happen to lie close together do not make the next one a change."""
    series = [7.0, 7.0, 7.0, 7.05, 7.05, 7.05]
    assert find_changes(series).starts == (3,)
    assert find_changes(series, known=0.05).starts == ()


def test_equal_points_and_few_points_have_none() -> None:
    assert find_changes([7.0] * 10) == Changes(deviation=FLOOR)
    for count in range(LEAST):
        assert find_changes([7.0 + place for place in range(count)]).starts == ()
