"""An experiment that is killed and goes on has the rows of one that was not: none is lost, none is there twice."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch

from mglubench.errors import UsageError
from mglubench.experiments import training
from mglubench.experiments.corpus import read_corpus
from mglubench.experiments.setting import Setting
from mglubench.experiments.story import Experiment, run_experiment
from mglubench.experiments.telling import Telling
from mglubench.experiments.trial_record import CHECKPOINTS, ROWS, read_rows
from tests.experiments.test_corpus import TEXT

SETTING = Setting(
    h=16,
    d=24,
    layers=2,
    heads=2,
    context=16,
    batch=2,
    steps=6,
    every=2,
    tests=8,
    seeds=2,
    sweep_steps=3,
    retrain_steps=3,
    rates=(1e-3, 1e-2),
)
ARMS = ["gelu", "nm2", "nm2-fixed", "nm4-top2-softmax-last"]
CORPUS = read_corpus(TEXT, SETTING.context)
ABLATION = Experiment("ablation", SETTING, ARMS, CORPUS)


class KilledError(Exception):
    """Stands for a kill."""


def run(folder, asked=ABLATION, *, steps=None, resume=False):
    """Run until the end, or for so many steps; what was said."""
    said, left = [], [steps]

    class Counting(Telling):
        def stepped(self, trial, step):
            super().stepped(trial, step)
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise KilledError

    told = Counting(asked.setting, said.append, lambda *a: None)
    if steps is None:
        run_experiment(asked, folder, resume=resume, telling=told)
    else:
        with pytest.raises(KilledError):
            run_experiment(asked, folder, resume=resume, telling=told)
    return said


def rows(folder):
    return [{**row.to_dict(), "cpu_seconds": 0} for row in read_rows(folder)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, run(folder)


def test_the_comparison_is_whole(whole):
    folder, said = whole
    found = list(read_rows(folder))
    assert Counter((row.phase, row.part) for row in found) == {
        ("sweep", "validation"): 8 * 3,
        ("main", "heldout"): 8 * 4,
    }
    assert all(row.loss is not None and row.loss > 0 for row in found)
    assert {row.tokens for row in found if row.step == 6} == {6 * 2 * 16}
    rates = {arm: {row.rate for row in found if row.phase == "main" and row.arm == arm} for arm in ARMS}
    assert all(len(own) == 1 for own in rates.values())
    assert len(said) == 16
    assert "(16 of 16; ETA 0 min)" in said[-1]
    assert not list((folder / CHECKPOINTS).iterdir())


def test_the_first_stage_is_whole_before_the_next_begins(whole):
    order = list(dict.fromkeys((row.phase, row.arm, row.seed) for row in read_rows(whole[0])))
    assert order[:6] == [
        *(("sweep", arm, 1000) for arm in ("gelu", "nm2")),
        *(("main", arm, seed) for seed in (0, 1) for arm in ("gelu", "nm2")),
    ]


@pytest.mark.parametrize("often", [1, 5])
def test_killed_every_few_steps_it_has_the_same_rows(whole, tmp_path, often):
    """Kills at every point of a trial; those between two evaluations cost the steps since the last one."""
    folder, asked = tmp_path / "run", replace(ABLATION, arms=["nm2", "nm4-top2-softmax-last"])
    run(folder, asked, steps=often)
    for more in range(4):
        run(folder, asked, steps=often + more % 3, resume=True)
    run(folder, asked, resume=True)
    wanted = [row for row in rows(whole[0]) if row["arm"] in asked.arms]
    assert rows(folder) == wanted


def test_killed_between_a_row_and_its_checkpoint_the_row_is_not_written_twice(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", lambda *a: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            run(folder)
    assert len(rows(folder)) == 2
    run(folder, resume=True)
    assert rows(folder) == rows(whole[0])


def test_a_torn_row_and_a_damaged_checkpoint_are_made_again(whole, tmp_path):
    folder = tmp_path / "run"
    run(folder, steps=14)
    for path in (folder / CHECKPOINTS).iterdir():
        path.write_bytes(path.read_bytes()[:100])
    with (folder / ROWS).open("ab") as file:
        file.write(b'{"key":"torn')
    with pytest.warns(UserWarning, match="cut short"):
        run(folder, resume=True)
    assert rows(folder) == rows(whole[0])


def test_a_finished_run_trains_nothing(whole):
    before = (whole[0] / ROWS).read_bytes()
    assert run(whole[0], resume=True) == ["16 of 16 trials are finished"]
    assert (whole[0] / ROWS).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"setting": replace(SETTING, steps=7)}, "its setting differs: steps is 7 here and 6 there"),
        ({"arms": ["gelu"]}, "its arms differs"),
        ({"name": "masks"}, "its experiment differs: masks here, ablation there"),
        ({"corpus": replace(CORPUS, sha256="other")}, "its corpus differs: sha256 is other here"),
    ],
)
def test_another_run_is_not_gone_on_with(whole, change, told):
    with pytest.raises(UsageError, match=told):
        run(whole[0], replace(ABLATION, **change), resume=True)


def test_a_run_is_not_overwritten(whole):
    with pytest.raises(UsageError, match="holds a run already; continue it with --resume"):
        run(whole[0])


def test_a_rate_that_diverges_is_a_row_and_is_not_chosen(tmp_path):
    asked = replace(
        ABLATION, arms=["gelu"], setting=replace(SETTING, rates=(9.0, 1e-3), steps=4, sweep_steps=40, seeds=1)
    )
    with torch.random.fork_rng():
        said = run(tmp_path / "run", asked)
    found = list(read_rows(tmp_path / "run"))
    assert {row.rate for row in found if row.phase == "main"} == {1e-3}
    ends = [row for row in found if row.phase == "sweep" and row.step == 40]
    bad = next(row for row in ends if row.rate == 9.0)
    good = next(row for row in ends if row.rate == 1e-3)
    assert bad.loss is None or bad.loss > good.loss
    assert len(said) == 3


def test_a_loss_that_is_no_number_is_a_row_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CLIP", float("nan"))
    asked = replace(ABLATION, arms=["gelu"], setting=replace(SETTING, rates=(1e-3,), seeds=1))
    said = run(tmp_path / "run", asked)
    *_, last = read_rows(tmp_path / "run")
    assert (last.status, last.loss, last.step) == ("unstable", None, 6)
    assert "the loss is nan at step 2" in last.reason
    assert "the loss is nan" in said[0]
    assert run(tmp_path / "run", asked, resume=True) == ["1 of 1 trials are finished"]


def test_conversions_start_from_the_dense_model_of_their_seed(tmp_path):
    asked = Experiment("convert", replace(SETTING, rates=(1e-2,), seeds=1, steps=60, every=30), [], CORPUS)
    folder = tmp_path / "run"
    run(folder, asked, steps=63)
    run(folder, asked, steps=5, resume=True)
    run(folder, asked, resume=True)
    found = list(read_rows(folder))
    assert len({row.key for row in found}) == len(found)
    dense = next(row.loss for row in found if row.phase == "dense" and row.step == 60)
    at_once = {(row.start, row.arm): row.loss for row in found if row.phase == "retrain" and row.step == 0}
    assert at_once.pop(("dense", "swiglu")) == dense
    assert len(at_once) == 6
    assert all(loss != dense for loss in at_once.values())
    assert at_once["fresh", "nm1"] > dense
    assert run(folder, asked, resume=True) == ["8 of 8 trials are finished"]


def test_rows_are_json_of_plain_numbers(whole):
    for line in (whole[0] / ROWS).read_text().splitlines():
        assert json.loads(line)["status"] == "ok"
