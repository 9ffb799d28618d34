"""The spread between runs, on frames of known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mglubench.results.judgement import LATENCY
from mglubench.results.repeats import repeats_of, summary
from mglubench.stats import visible_change
from tests.results.repeated import around, derived, noisy_runs


def test_a_known_spread_is_found_and_honest_intervals_cover():
    found = repeats_of(noisy_runs(200, 0.02, half=1.96 * 0.02, cases=3))
    assert (found.runs, len(found.ratios), len(found.latencies)) == (200, 3, 3)
    for figure in (*found.ratios, *found.latencies):
        assert figure.deviation == pytest.approx(0.02, rel=0.15)
        assert figure.deviation_low < 0.02 < figure.deviation_high
        assert figure.covered / figure.intervals == pytest.approx(0.95, abs=0.05)
        assert figure.narrow == 0
        assert figure.alarms / figure.pairs == pytest.approx(0.05, abs=0.04)
    assert [figure.value for figure in found.ratios] == pytest.approx([1.5] * 3, rel=0.01)
    together = summary(found.ratios)
    assert together.coverage_low < 0.95 < together.coverage_high
    assert together.largest == max(figure.deviation for figure in found.ratios) == together.largest_of.deviation


def test_intervals_that_know_a_third_of_the_spread_are_narrow_and_miss():
    found = repeats_of(noisy_runs(60, 0.03, half=0.3 * 1.96 * 0.03))
    assert found.ratios[0].narrow == found.ratios[0].intervals == 60
    assert found.ratios[0].covered < 40
    # A little more than half the spread is not narrow, as far as 60 runs know it.
    wide = repeats_of(noisy_runs(60, 0.03, half=0.8 * 1.96 * 0.03))
    assert wide.ratios[0].narrow == 0


def test_what_can_be_seen_follows_the_spread_and_the_figures_of_the_job():
    found = repeats_of(noisy_runs(12, 0.02, half=0.04, cases=4))
    for figure in found.ratios:
        for runs in (1, 3, 5):
            assert math.log1p(figure.visible[runs]) == pytest.approx(visible_change(figure.deviation, runs, 4))
    assert visible_change(0.01, 1, 1) == pytest.approx((1.95996 + 0.84162) * 0.01 * math.sqrt(2), rel=1e-4)


def test_a_case_over_itself_says_nothing_and_runs_without_a_figure_are_missed():
    ratio = {**around("vs_glu", 0.9, 0.01), "fastest_glu": "other"}
    itself = {**around("vs_glu", 1.0, 0.0), "fastest_glu": "swiglu"}
    glu = {"variant": "swiglu", "nm": 0, "mask": "none", "layer": "glu", **around(LATENCY, 10.0, 0.01)}
    failed = {"variant": "swiglu", "nm": 0, "status": "crash", "layer": "glu", "latency_us": math.nan}
    found = repeats_of(
        [derived({**glu, **ratio}), derived({**glu, **itself}), derived({**glu, **ratio}), derived(failed)]
    )
    assert found.runs == 4
    assert [(f.what, f.runs, f.bases) for f in (*found.latencies, *found.ratios)] == [
        ("latency_us", 3, ()),
        ("vs_glu", 2, ("other",)),
    ]


def test_a_baseline_of_several_sets_counts_once_and_ceilings_not_at_all():
    case = {"variant": "lu", "nm": 0, "layer": "lu", **around(LATENCY, 10.0, 0.01)}
    read = {"variant": "stream-read", "nm": 0, "layer": "read", **around(LATENCY, 10.0, 0.01)}
    found = repeats_of([derived(case, {**case, **around(LATENCY, 30.0, 0.01)}, read)] * 2)
    assert [(f.variant, f.runs, round(f.value, 6), f.deviation) for f in found.latencies] == [("lu", 2, 10.0, 0.0)]


def test_runs_without_intervals_have_a_spread_and_cover_nothing():
    bare = [derived({"variant": "a", "latency_us": value, **unknown}) for value in (10.0, 11.0)
            for unknown in ({"latency_low_us": 0.0, "latency_high_us": math.inf},)]  # fmt: skip
    found = repeats_of(bare).latencies[0]
    assert (found.intervals, found.covered, found.narrow, found.pairs) == (0, 0, 0, 0)
    assert found.deviation == pytest.approx(np.log([10, 11]).std(ddof=1))
    assert summary([found]).coverage_high == 1.0
    assert summary([]) is None
    assert repeats_of(bare[:1]).latencies == []
