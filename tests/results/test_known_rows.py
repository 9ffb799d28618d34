"""Latencies of many rows at once are those of each by itself."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from mglubench.estimates import latency
from mglubench.measure.measurement import Round, series_of
from mglubench.results.known_rows import KnownRows
from mglubench.results.turns import Patterns, Turns, in_turn


def made(rng, kind):
    """Samples and rounds of one row: rounds without samples, few copies, many, processes."""
    rounds = []
    for number in range(int(rng.integers(1, 9))):
        count = int(rng.integers(0, 12))
        copies = tuple((place + number) % (kind + 1) for place in range(count)) if kind else ()
        rounds.append(Round(number, process=number // 3, count=count, copies=copies))
    samples = np.exp(rng.normal(0, 0.05, sum(turn.count for turn in rounds))) * 1e6
    return samples.tolist(), rounds


def turns_of(rounds):
    """As rows come: some now, some later, with the patterns of all."""
    patterns = Patterns()
    middle = len(rounds) // 2
    stored = [[as_stored(turn) for turn in turns] for turns in rounds]
    return Turns.joined([Turns.of(stored[:middle], patterns), Turns.of(stored[middle:], patterns)])


def as_stored(turn):
    return msgspec.Raw(msgspec.json.encode(turn))


def test_every_row_has_the_estimate_of_its_own_samples():
    rng = np.random.default_rng(5)
    rows = [made(rng, kind % 5) for kind in range(200)]
    flat = np.concatenate([row[0] for row in rows])
    known = KnownRows.of(flat, turns_of([row[1] for row in rows]))
    for (samples, rounds), middle, half in zip(rows, np.exp(known.middle), known.half, strict=True):
        if samples:
            alone = latency(series_of(samples, rounds))
            np.testing.assert_allclose((middle, half), (alone.value, alone.half_width), rtol=1e-12)
        else:
            assert math.isnan(middle)
            assert math.isnan(half)


def test_rows_without_rounds_have_none():
    known = KnownRows.of(np.array([]), turns_of([[], []]))
    assert np.isnan([known.middle, known.half]).all()
    assert (known.sign == -1).all()


def test_two_rounds_leave_the_interval_open():
    known = KnownRows.of(np.ones(2), turns_of([[Round(0, 0, count=1), Round(1, 0, count=1)]]))
    assert (known.middle.tolist(), known.half.tolist()) == ([0.0], [math.inf])


@pytest.mark.parametrize("numbers", [[0, 0, 0], [2, 0, 1, 1, 2]])
def test_parts_are_strung_together(numbers):
    parts = [np.array([5, 6]), np.array([7]), np.array([8, 9, 10])]
    wanted = [value for number in numbers for value in parts[number].tolist()]
    assert in_turn(parts, np.array(numbers)).tolist() == wanted
