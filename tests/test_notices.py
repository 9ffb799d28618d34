"""What is the matter with samples, as data."""

from __future__ import annotations

import numpy as np
import pytest

from mglubench.estimates import Series
from mglubench.notices import Kind, noise_notice, notices, plain_notices


def series(levels, per_round=8, copies=4, noise=0.005, seed=0):
    rng = np.random.default_rng(seed)
    samples = np.repeat(levels, per_round) * np.exp(noise * rng.standard_normal(len(levels) * per_round))
    return Series.of(samples, np.repeat(np.arange(len(levels)), per_round), np.arange(len(samples)) % copies)


def kinds(found):
    return [notice.kind for notice in found]


def test_good_samples_need_no_footnote():
    assert notices(series([100.0] * 6)) == []
    assert notices(series([100.0] * 6), discarded=2) == []


def test_few_rounds_and_few_copies_are_said():
    found = notices(series([100.0] * 3, copies=1))
    assert kinds(found) == [Kind.FEW_ROUNDS, Kind.FEW_COPIES]
    assert found[0].words == "3 of at least 5 rounds"
    assert "one preparation" in found[1].words
    assert "2 preparations" in notices(series([100.0] * 6, copies=2))[0].words


@pytest.mark.parametrize(("discarded", "words"), [(6, "some samples"), (60, "most samples")])
def test_starved_cases_say_how_much_was_lost(discarded, words):
    (notice,) = notices(series([100.0] * 6), discarded)
    assert notice.kind is Kind.STARVED
    assert words in notice.words
    assert notice.amount == pytest.approx(discarded / (48 + discarded))


def test_all_samples_lost_is_no_division_by_zero():
    assert Kind.STARVED in kinds(notices(Series.of([]), discarded=5))


def test_a_trend_over_the_rounds_is_named_with_its_size():
    (notice,) = notices(series([100.0, 102, 104, 106, 108, 110]))
    assert notice.kind is Kind.DRIFT
    assert notice.amount == pytest.approx(0.08, abs=0.02)
    assert "+8%" in notice.words


def test_rounds_that_differ_without_a_trend_are_no_drift():
    assert Kind.DRIFT not in kinds(notices(series([100.0, 110, 95, 104, 90, 107])))
    false_alarms = sum(Kind.DRIFT in kinds(notices(series([100.0] * 6, noise=0.05, seed=k))) for k in range(200))
    assert false_alarms <= 12


def test_two_heaps_are_seen_and_noise_is_not_two_heaps():
    split = np.where(np.arange(48) % 3 == 0, 150.0, 100.0) * np.exp(0.005 * np.random.default_rng(0).normal(size=48))
    (notice,) = notices(Series.of(split, np.repeat(np.arange(6), 8), np.arange(48) % 4))
    assert notice.kind is Kind.TWO_HEAPS
    assert notice.amount == pytest.approx(1.5, abs=0.03)
    rng = np.random.default_rng(1)
    for noise in (rng.normal(0, 0.1, 60), rng.uniform(-0.3, 0.3, 60), rng.exponential(0.2, 60)):
        found = notices(Series.of(100 * np.exp(noise), np.repeat(np.arange(6), 10), np.arange(60) % 4))
        assert Kind.TWO_HEAPS not in kinds(found)


def test_few_samples_warm_caches_and_wide_intervals_are_told():
    assert [notice.kind for notice in plain_notices(5, "no room")] == [Kind.WARM, Kind.FEW_SAMPLES]
    assert plain_notices(6) == []
    assert plain_notices(1)[0].words.startswith("1 sample: ")
    assert [len(noise_notice(half)) for half in (0.01, 0.05, 0.06, float("inf"))] == [0, 0, 1, 0]
