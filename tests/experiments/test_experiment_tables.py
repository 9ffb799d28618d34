"""The tables of experiments, from rows made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mglubench.experiments.arms import ARMS
from mglubench.experiments.corpus import CorpusRecord
from mglubench.experiments.curves import curves
from mglubench.experiments.experiment_tables import all_tables, heading
from mglubench.experiments.loss_tables import loss_table, pair_table, rate_table
from mglubench.experiments.outcomes import mean_of
from mglubench.experiments.setting import Setting
from mglubench.experiments.trial import MaskState, Trial, row_of
from mglubench.experiments.trial_record import Header
from mglubench.report.chart import save
from mglubench.report.render import to_markdown

SETTING = Setting(
    h=8, d=16, layers=2, heads=2, context=4, batch=2, steps=20, every=10, seeds=3, rates=(1e-3, 3e-3, 1e-2)
)
CORPUS = CorpusRecord("a text", 3, "ab" * 32, {"train": 1000, "validation": 50, "heldout": 50})
RECORD = {"time": "2026-01-01T00:00:00+00:00", "python": "3.11", "packages": {"torch": "2.6"}}
LOSSES = {"gelu": (2.0, 2.1, 2.2), "swiglu": (1.9, 2.0, 2.1), "nm1": (2.0, 2.0, 2.0), "nm1-fixed": (2.1, 2.2, 2.3)}


def header(*arms, experiment="ablation", **changes):
    return Header(experiment, replace(SETTING, **changes), list(arms), CORPUS, RECORD)


def states(flipped):
    return [MaskState(flipped=flipped, moved=0.4, gate=[0.5, 0.6], entropy=1.5, noise_flipped=0.2, noise_moved=0.3)] * 2


def main_rows(**losses):
    for arm, own in losses.items():
        name = arm.replace("_", "-")
        for seed, loss in enumerate(own):
            trial = Trial("main", name, 3e-3, 1.0, seed, 20)
            masks = states(0.1) if ARMS[name].nm else []
            yield row_of(trial, 10, 80, loss=loss + 0.5, masks=masks)
            yield row_of(trial, 20, 160, loss=loss, masks=masks)


def all_rows():
    return list(main_rows(**{name.replace("-", "_"): own for name, own in LOSSES.items()}))


def test_a_mean_and_its_interval_by_hand():
    found = mean_of([1.0, 2.0, 3.0])
    assert (found.count, found.value, found.sd) == (3, 2.0, 1.0)
    assert found.high - found.value == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert (mean_of([2.5]).sd, mean_of([2.5]).low) == (None, None)


def test_losses_stand_with_their_spread_beside_the_papers():
    table = loss_table(header(*LOSSES, "nm8"), all_rows())
    by_arm = {row["arm"]: row for row in table.rows}
    assert list(by_arm) == ["gelu", "swiglu", "nm1", "nm1-fixed"]
    assert by_arm["gelu"]["loss"] == pytest.approx(2.1)
    assert by_arm["gelu"]["loss_sd"] == pytest.approx(0.1)
    assert by_arm["gelu"]["over"] == pytest.approx(0.1)
    assert by_arm["gelu"]["over_low"] == pytest.approx(0.1)
    assert "over" not in by_arm["swiglu"]
    assert (by_arm["nm1"]["paper"], by_arm["nm1-fixed"]["paper"]) == (25.0, 25.1)
    text = to_markdown(table)
    assert "Held-out loss after 20 steps, 160 bytes" in table.title
    assert "| 2.1000 | 0.1000 | 2.0000 to 2.2000 |" in text
    assert "one run each" in text


def test_unequal_cost_and_what_is_missing_are_told_below_the_losses():
    notes = " ".join(loss_table(header(*LOSSES, "nm8", seeds=4), all_rows()).notes)
    assert "swiglu has 1.50 times the weights and 1.50 times the training FLOPs of gelu" in notes
    assert "nm8 has 6.33 times the training FLOPs of gelu" in notes
    assert "seeds of 4 that are: gelu 3, swiglu 3, nm1 3, nm1-fixed 3, nm8 0" in notes
    assert "not all trained" not in " ".join(loss_table(header(*LOSSES), all_rows()).notes)


def test_pairs_are_compared_seed_by_seed():
    rows = [row for row in all_rows() if not (row.arm == "nm1" and row.seed == 2)]
    (pair,) = pair_table(header(*LOSSES), rows).rows
    assert pair["pair"] == "nm1 - nm1-fixed"
    assert pair["gap_count"] == 2
    assert pair["gap"] == pytest.approx((-0.1 - 0.2) / 2)
    assert pair["paper"] == "25.0 - 25.1"
    assert pair_table(header("gelu"), all_rows()[:6]) is None


def test_a_rate_at_the_edge_of_the_sweep_is_told():
    trials = [Trial("sweep", "gelu", rate, 1.0, 1000, SETTING.sweep_steps) for rate in SETTING.rates]
    rows = [row_of(t, t.steps, 0, loss=loss) for t, loss in zip(trials, (2.2, 2.1, 2.3), strict=True)]
    table = rate_table(header("gelu"), rows)
    assert [row["chosen"] for row in table.rows] == [False, True, False]
    assert len(table.notes) == 1
    rows[2] = row_of(trials[2], trials[2].steps, 0, loss=2.0)
    assert "edge of the sweep, so that a better rate may lie beyond: gelu" in rate_table(header("gelu"), rows).notes[1]
    rows[2] = row_of(trials[2], trials[2].steps, 0, status="unstable", reason="the loss is nan")
    table = rate_table(header("gelu"), rows)
    assert [row["loss"] for row in table.rows] == [2.2, 2.1, None]
    assert table.rows[2]["note"] == "the loss is nan"


def test_bits_stand_beside_those_under_noise():
    tables = {table.title: table for table in all_tables(header(*LOSSES, experiment="masks"), all_rows())}
    assert next(iter(tables)) == "Mask bits over a training"
    flips = tables["Mask bits over a training"]
    assert [(row["arm"], row["step"], row["seeds"]) for row in flips.rows] == [("nm1", 10, 3), ("nm1", 20, 3)]
    row = flips.rows[0]
    assert (row["flipped"], row["noise_flipped"], row["moved"]) == tuple(map(pytest.approx, (0.1, 0.2, 0.4)))
    assert [row["gates"] for row in flips.rows] == ["55.0 55.0", "55.0 55.0"]
    layers = tables["Masks by layer"].rows
    assert [(row["arm"], row["layer"]) for row in layers] == [(a, n) for a in ("nm1", "nm1-fixed") for n in (1, 2)]
    assert layers[0]["gate"] == pytest.approx(0.55)
    assert (layers[0]["moved"], layers[2]["moved"]) == (pytest.approx(0.4), None)


def test_what_a_conversion_lost_and_what_is_left():
    rows = []
    for seed in (0, 1):
        rows.append(row_of(Trial("dense", "swiglu", 1e-3, 1.0, seed, 20), 20, 160, loss=2.0 + seed))
        for arm, start, at_once, after in (("swiglu", "dense", 2.0, 1.9), ("nm1", "larger", 2.6, 2.0)):
            trial = Trial("retrain", arm, 1e-3, 1.0, seed, SETTING.retrain_steps, start)
            rows += [row_of(trial, 0, 0, loss=at_once + seed), row_of(trial, trial.steps, 0, loss=after + seed)]
    (table,) = all_tables(header(experiment="convert"), rows)
    dense, larger = table.rows
    assert "lost" not in dense
    assert (larger["start"], larger["arm"], larger["seeds"]) == ("larger", "nm1", 2)
    assert (larger["lost"], larger["left"]) == (pytest.approx(0.6), pytest.approx(0.1))
    assert "2.5000 at its end" in table.notes[0]


@pytest.mark.parametrize("experiment", ["ablation", "convert"])
def test_curves_are_drawn(tmp_path, experiment):
    rows = all_rows()
    if experiment == "convert":
        trial = Trial("retrain", "nm1", 1e-3, 1.0, 0, 300, "sum")
        rows = [row_of(trial, step, 0, loss=2.0) for step in (0, 300)]
    drawn = curves(header(*LOSSES, experiment=experiment), rows)
    assert len(drawn.axes) == (3 if experiment == "ablation" else 1)
    save(drawn, tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").stat().st_size > 1000


def test_the_heading_says_what_text_it_was():
    assert "a text: 3 distinct documents, 1,000 bytes train" in heading(header("gelu"))[0]
