"""Rounds from one place of the cores."""

from __future__ import annotations

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.executors.core_watch import PAUSE, CoreWatch, one_place, place_of_cores
from mglubench.executors.rounds import measure_set
from tests.executors.test_rounds import A, B, Scripted

NEAR, FAR = 55.0, 330.0


def scripted(distances, patience=0.0):
    """A watch over cores that move by a script; the last place stays."""
    left = list(distances)
    return CoreWatch(lambda: left.pop(0) if len(left) > 1 else left[0], patience, sleep=lambda seconds: None)


def test_cores_that_are_apart_are_waited_for():
    watch = scripted([NEAR, FAR, FAR, NEAR], patience=1.0)
    assert watch.look() == NEAR
    assert watch.wait() == NEAR
    assert watch.patience == pytest.approx(1.0 - 2 * PAUSE)


def test_patience_ends():
    watch = scripted([NEAR, FAR], patience=3 * PAUSE)
    watch.look()
    assert watch.wait() == FAR
    assert watch.patience <= 1e-9
    assert watch.wait() == FAR


def test_what_has_never_been_nearer_is_near_and_what_is_unknown_is_not_judged():
    assert not scripted([FAR], patience=1.0).apart(FAR)
    watch = scripted([None], patience=1.0)
    assert watch.wait() is None
    assert watch.patience == 1.0


@pytest.mark.parametrize(
    ("distances", "kept"),
    [
        ([[NEAR, FAR, NEAR, NEAR]], [[True, False, True, True]]),
        ([[NEAR, FAR, FAR, FAR]], [[False, True, True, True]]),
        ([[NEAR, FAR, NEAR, FAR]], [[True] * 4]),
        ([[NEAR] * 3 + [FAR] * 3, [FAR] * 3 + [NEAR] * 3], [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]),
        # One case has too few near rounds: the other's are no use to it, and all take those apart.
        ([[NEAR] * 3 + [FAR] * 3, [NEAR] + [FAR] * 5], [[False] * 3 + [True] * 3, [False] + [True] * 5]),
        ([[None, None, FAR]], [[True] * 3]),
        ([], []),
    ],
)
def test_rounds_are_kept_from_one_place(distances, kept):
    watch = CoreWatch(least=NEAR)
    assert one_place(watch, distances) == kept


def test_a_row_says_where_the_cores_were():
    figures, words = place_of_cores([NEAR, FAR, 57.0, None], [True, False, True, True])
    assert figures == {"core_ns": 56.0, "core_ns_aside": FAR, "rounds_aside": 1}
    assert words == "cores 56 ns apart, 1 rounds at 330 ns set aside"
    assert place_of_cores([None], [True]) == ({}, "")


def measured(distances, patience, cases=(A, B), rounds=4):
    session = Scripted()
    settings = MeasureSettings(max_seconds=0.001, rounds=rounds, processes=1)
    return session, list(measure_set(session, cases, settings, watch=scripted(distances, patience)))


def test_a_set_keeps_rounds_of_one_place_and_says_what_it_set_aside():
    # Two looks a block, two blocks a round: apart in the second round, when patience is over.
    _, found = measured([NEAR] * 4 + [FAR] * 4 + [NEAR], patience=0.0, rounds=6)
    for measurement in found:
        assert [turn.count for turn in measurement.rounds] == [5, 0, 5, 5, 5, 5]
        assert len(measurement.samples) == 25
        assert measurement.telemetry["rounds_aside"] == 1
        assert "1 rounds at 330 ns set aside" in measurement.timer


def test_a_block_in_which_the_cores_moved_is_taken_again():
    session, (found,) = measured([NEAR, FAR, NEAR], patience=5.0, cases=(A,))
    assert session.log.count("sample a") == 5
    assert [turn.count for turn in found.rounds] == [5] * 4
    assert "aside" not in found.timer


def test_without_patience_no_more_is_made_up_for_than_intervals_need():
    _, found = measured([NEAR] * 12 + [FAR] * 8 + [NEAR], patience=0.0, rounds=6)
    assert {len(measurement.rounds) for measurement in found} == {7}
    _, found = measured([NEAR] * 12 + [FAR] * 12 + [NEAR] * 4 + [FAR], patience=0.0, rounds=6)
    assert {len(measurement.rounds) for measurement in found} == {9}
    _, found = measured([NEAR] * 4 + [FAR], patience=0.0, rounds=6)
    assert {len(measurement.rounds) for measurement in found} == {6}


def test_without_a_watch_nothing_is_said():
    (found,) = measure_set(Scripted(), [A], MeasureSettings(max_seconds=0.001, rounds=3, processes=1))
    assert "core_ns" not in found.telemetry
    assert "cores" not in found.timer
