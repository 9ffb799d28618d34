"""The stopping rule is a pure function of plain numbers."""

from __future__ import annotations

import math

import pytest

from mglubench.measure.stopping import SetLimits, set_stop

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
