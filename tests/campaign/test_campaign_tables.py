"""A campaign's own tables, from frames and samples written by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mglubench.campaign import target_tables as tables
from mglubench.campaign.definition import Goal, Targets
from mglubench.campaign.outcome import StepState, StepStatus
from mglubench.cases.axes import SHARED
from mglubench.cases.case import Setting
from mglubench.errors import UsageError
from mglubench.measure.measurement import Round
from mglubench.report.batch_plot import saving_plot
from mglubench.results.repeats import repeats_of

PLACE = {"activation": "silu", "device": "cuda", "seed": 0, "h": 64, "d": 96, "dtype": "float16", "mode": "cold"}
SETTING = {name: Setting.of(PLACE).value(name) for name in SHARED}


def row(variant, nm=1, **values):
    latency = values.get("latency_us", 10.0)
    return {
        **SETTING,
        "key": f"{variant}/{nm}/{values.get('batch', 1)}",
        "variant": variant,
        "nm": nm,
        "mask": "bernoulli:0.5",
        "status": "ok",
        "layer": "mglu",
        "batch": 1,
        "latency_us": latency,
        "rounds_of": [Round(number, 0, count=2) for number in range(5)] + [Round(5, 0, count=1)],
        "samples_ns": [latency * 1e3 * (1 + k / 1e4) for k in range(-5, 6)],
        **values,
    }


def frame(*rows, fake=False):
    made = pd.DataFrame(rows)
    made.attrs["run"] = {"fake": fake}
    return made


def goals(*wanted, variants=("a", "b"), **changes):
    return Targets(
        "run", variants=variants, goals=tuple(Goal(f, 64, 96, nm, least) for f, nm, least in wanted), **changes
    )


def test_targets_are_met_missed_or_not_measured():
    measured = frame(
        row("a", 1, share_of_ceiling=0.91, vs_glu=1.5, vs_glu_low=1.4, vs_glu_high=1.6, vs_naive=np.nan),
        row("b", 1, share_of_ceiling=0.95, vs_glu=1.2, vs_naive=np.nan),
        row("c", 1, share_of_ceiling=0.99, vs_glu=9.0, vs_naive=9.0),
        row("a", 2, share_of_ceiling=0.99, status="wrong", vs_glu=9.0, vs_naive=9.0),
        row("a", 4, share_of_ceiling=0.99, mode="hot", vs_glu=9.0, vs_naive=9.0),
        row("a", 8, share_of_ceiling=0.99, batch=2, vs_glu=9.0, vs_naive=9.0),
    )
    wanted = [("share_of_ceiling", 1, 0.9), ("share_of_ceiling", 1, 0.96), ("vs_glu", 1, 1.5), ("vs_naive", 1, 2.0)]
    wanted += [("share_of_ceiling", nm, 0.5) for nm in (2, 4, 8)]
    shown = tables.targets_table(goals(*wanted), measured)
    assert [(r["verdict"], r["value"], r["variant"]) for r in shown.rows] == [
        ("met", 0.95, "b"),
        ("missed", 0.95, "b"),
        ("met", 1.5, "a"),
        *[("not measured", None, "")] * 4,
    ]
    assert shown.cells(shown.rows[2])[4] == "1.50 [1.40, 1.60]"
    assert shown.notes[0] == "2 met, 1 missed, 4 not measured"


def test_the_slowest_naive_layer_is_of_the_same_setting_and_nm():
    measured = frame(
        row("a", 8, latency_us=10.0),
        row("mglu-naive", 8, latency_us=500.0),
        row("mglu-naive-complement", 8, latency_us=200.0),
        row("mglu-naive", 4, latency_us=9000.0),
        row("mglu-naive", 8, latency_us=9000.0, h=32),
        row("mglu-naive-float", 8, latency_us=9000.0, status="wrong"),
    )
    shown = tables.targets_table(goals(("vs_slowest_naive", 8, 40.0), ("vs_slowest_naive", 4, 40.0)), measured)
    assert [(r["verdict"], r["value"]) for r in shown.rows] == [("met", 50.0), ("not measured", None)]


@pytest.mark.parametrize("measured", [None, frame(row("a", share_of_ceiling=1.0), fake=True)])
def test_nothing_is_measured_by_no_run_or_a_fake_one(measured):
    shown = tables.targets_table(goals(("share_of_ceiling", 1, 0.5)), measured)
    assert [r["verdict"] for r in shown.rows] == ["not measured"]


def test_the_dtype_is_judged_where_one_is_named():
    measured = frame(row("a", vs_glu=3.0, dtype="bfloat16"), row("a", vs_glu=2.0))
    assert tables.targets_table(goals(("vs_glu", 1, 1.0)), measured, dtype="float16").rows[0]["value"] == 2.0
    assert tables.targets_table(goals(("vs_glu", 1, 1.0)), measured).rows[0]["value"] == 3.0


def test_the_batch_from_which_the_saving_vanishes():
    speeds = {1: (1.8, 1.2), 2: (1.4, 1.5), 4: (0.9, 1.0), 8: (0.7, 0.6)}
    rows = [row(v, batch=b, vs_glu=s) for b, both in speeds.items() for v, s in zip("ab", both, strict=True)]
    rows += [row("a", 8, batch=b, vs_glu=1.3) for b in (1, 16)]
    shown = tables.batch_table({"batch": frame(*rows)})
    assert [(r["nm"], r["first"], r["at_first"], r["smallest"], r["at_smallest"]) for r in shown.rows] == [
        (1, 4, 1.0, 1, 1.8),
        (8, "none", None, 1, 1.3),
    ]
    assert [(r["largest"], r["at_largest"]) for r in shown.rows] == [(8, 0.7), (16, 1.3)]
    assert tables.batch_table({"one": frame(row("a", vs_glu=1.0))}) is None


def test_bulk_copies_are_faster_slower_or_the_same():
    cells = [(1, 10.0, 5.0), (2, 10.0, 10.0), (4, 5.0, 10.0)]
    rows = [
        row(name, nm, latency_us=us)
        for nm, *both in cells
        for name, us in zip((tables.PLAIN, tables.BULK), both, strict=True)
    ]
    measured = {"paper": frame(*rows, row(tables.PLAIN, 8))}
    shown = tables.bulk_table(measured)
    assert [(r["nm"], pytest.approx(r["gain"]), r["verdict"]) for r in shown.rows] == [
        (1, 2.0, "faster"),
        (2, 1.0, "same"),
        (4, 0.5, "slower"),
    ]
    assert all(r["gain_low"] <= r["gain"] <= r["gain_high"] for r in shown.rows)
    summary = tables.bulk_summary(measured)
    assert [(r["settings"], r["faster"], r["same"], r["slower"]) for r in summary.rows] == [
        (1, 1, 0, 0),
        (1, 0, 1, 0),
        (1, 0, 0, 1),
    ]
    assert tables.bulk_table({"paper": frame(row("a"))}) is None


def test_our_times_stand_beside_independent_clocks():
    measured = frame(row("a", ncu_duration_us=9.0), row("b", ncu_duration_us=np.nan), row("c", mode="hot"))
    clock = {
        "a/1/1": {"key": "a/1/1", "status": "ok", "reason": "", "do_bench_us": 12.0},
        "b/1/1": {"key": "b/1/1", "status": "error", "reason": "no luck", "do_bench_us": None},
    }
    shown = tables.agree_table(measured, clock)
    assert [(r["variant"], r["do_bench_ratio"], r["reason"]) for r in shown.rows] == [
        ("a", 1.2, ""),
        ("b", None, "no luck"),
    ]
    assert shown.rows[0]["ncu_ratio"] == 0.9
    assert shown.cells(shown.rows[1])[-2] == "-"
    assert "do_bench / here: median 1.200, from 1.200 to 1.200 over 1 cases" in shown.notes


def aa_frame(latency, half):
    ends = {"latency_low_us": latency * np.exp(-half), "latency_high_us": latency * np.exp(half)}
    return frame(row("a", latency_us=latency, **ends))


def test_false_alarms_are_counted_over_all_pairs():
    shown = tables.aa_table(repeats_of(aa_frame(latency, 0.01) for latency in (100.0, 100.5, 200.0, 201.0)))
    found = shown.rows[0]
    assert (found["alarms"], found["pairs"], found["runs"]) == (4, 6, 4)
    assert found["rate"] == pytest.approx(4 / 6)
    assert found["deviation"] == pytest.approx(np.log([100, 100.5, 200, 201]).std(ddof=1))
    assert found["covered"] == 0


def test_identical_noise_raises_about_the_nominal_number_of_alarms():
    rng = np.random.default_rng(1)
    frames = [aa_frame(100 * np.exp(rng.normal(0, 0.02)), 1.96 * 0.02) for _ in range(20)]
    shown = tables.aa_table(repeats_of(frames))
    assert shown.rows[0]["pairs"] == 190
    assert shown.rows[0]["rate"] < 0.2
    # Intervals that know half of it raise many.
    few = [aa_frame(float(one["latency_us"].iloc[0]), 0.3 * 0.02) for one in frames]
    assert tables.aa_table(repeats_of(few)).rows[0]["rate"] > 0.4


def test_steps_are_counted_by_state():
    states = [StepState(s, "sweep", StepStatus(s), 1.5) for s in ("ok", "failed", "absent", "left")]
    shown = tables.steps_table(states)
    assert [r["state"] for r in shown.rows] == ["done", "failed", "absent", "left"]
    assert shown.notes[0].startswith("1 done, 1 failed, 1 absent, 1 left; 6 s in all")


def test_the_saving_is_drawn_over_the_batch():
    ends = {"vs_glu_low": 0.9, "vs_glu_high": 1.9}
    measured = frame(*(row(v, nm, batch=b, vs_glu=2.0 / b, **ends) for v in "ab" for nm in (1, 8) for b in (1, 2, 4)))
    panel = saving_plot(measured).axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "2", "4"]
    assert {text.get_text() for text in panel.get_legend().get_texts()} == {"a", "b", "nm=1", "nm=8"}
    assert list(panel.containers[0].lines[0].get_ydata()) == [2.0, 1.0, 0.5]
    with pytest.raises(UsageError, match="two batch sizes"):
        saving_plot(frame(row("a", vs_glu=1.0)))
