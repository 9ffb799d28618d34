"""Blocks that were measured say what a model's stack of them would take: an estimate, and never of single layers."""

from __future__ import annotations

import json

import pytest

import mglubench
from mglubench.cases.models import models_of

NAMES = ("--variants", "swiglu,swiglu-numba-cpu,mglu-naive,mglu-numba-cpu", "--nm", "1,4", "--device", "cpu")
SWEEP = ("sweep", "--executor", "fake", *NAMES, "--no-ceiling", "--out", "run")
TITLE = "Estimate of a model's stack: h=2048 d=8192, 1 token, float32, silu, cold on cpu, block mlp"


def stacks():
    return {title: frame for title, frame in mglubench.tables("run").items() if title.startswith("Estimate")}


def test_a_models_stack_is_its_blocks_one_after_the_other(cli):
    assert cli(*SWEEP, "--model", "llama-3.2-1b", "--block", "mlp", "--batch", "1,4").code == 0
    rows = mglubench.load("run").query("layer != 'read'").set_index(["variant", "nm", "batch"])
    for batch, frame in zip((1, 4), stacks().values(), strict=True):
        assert frame[["variant", "nm"]].apply(tuple, axis=1).tolist() == [
            (frame.variant[0], 0),
            ("mglu-numba-cpu", 1),
            ("mglu-numba-cpu", 4),
        ]
        assert set(frame.model) == {"Llama-3.2-1B"}
        for line in frame.to_dict("records"):
            row = rows.loc[line["variant"], line["nm"], batch]
            assert line["stack_ms"] == pytest.approx(16 * row["latency_us"] / 1e3)
            assert line["tokens_per_s"] == pytest.approx(batch / (16 * row["latency_us"]) * 1e6)
            low, high = (batch / (16 * row[f"latency_{end}_us"]) * 1e6 for end in ("high", "low"))
            assert (line["tokens_per_s_low"], line["tokens_per_s_high"]) == pytest.approx((low, high))
            assert line["vs_glu"] == pytest.approx(row["vs_glu"])
        fastest = rows.query("layer == 'glu' and batch == @batch").latency_us.idxmin()
        assert frame.variant[0] == fastest[0]


def test_it_is_printed_and_in_the_json_and_says_that_it_is_an_estimate(cli):
    assert cli(*SWEEP, "--model", "llama-3.2-1b", "--block", "mlp").code == 0
    shown = cli("report", "run", "--markdown").out
    assert TITLE in shown
    assert "an estimate: a model's blocks one after the other" in shown
    tables = json.loads(cli("report", "run", "--json").out)["tables"]
    (found,) = [table for table in tables if table["title"].startswith("Estimate")]
    assert {row["layers"] for row in found["rows"]} == {16}
    assert all(row["tokens_per_s_low"] <= row["tokens_per_s"] <= row["tokens_per_s_high"] for row in found["rows"])


@pytest.mark.parametrize(
    "wanted",
    [
        ("--model", "llama-3.2-1b"),
        ("--h", "64", "--d", "128", "--block", "mlp"),
        ("--model", "llama-3.2-1b", "--block", "mlp", "--mode", "hot"),
    ],
    ids=["single layers", "no model's shape", "one block's weights in the cache"],
)
def test_what_is_no_stack_of_a_model_has_no_estimate(cli, wanted):
    assert cli(*SWEEP, *wanted).code == 0
    assert stacks() == {}


def test_models_of_one_shape_are_told_by_name():
    assert [(model.name, model.layers) for model in models_of(4096, 14336)] == [("Llama-3.1-8B", 32)]
    assert models_of(4096, 14337) == []
