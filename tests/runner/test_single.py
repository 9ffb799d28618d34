"""One case, and a plain function beside variants, measured from Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import linear, silu

import mglubench
from mglubench.errors import UsageError
from mglubench.variants.registry import variants

SMALL = {"h": 24, "d": 16, "max_seconds": 0.02, "ceiling": False, "rounds": 2, "processes": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def gated(x, gate, value):
    return silu(linear(x, gate)) * linear(x, value)


def masked(x, weight, masks):
    halves = [(linear(x, weight * mask), linear(x, weight * ~mask)) for mask in masks]
    return torch.stack([silu(gate) * value for gate, value in halves]).sum(0)


def test_one_case_is_a_series():
    row = mglubench.run("mglu-naive", h=64, d=96, nm=3, executor="fake", out="mine")
    assert (row["variant"], row["nm"], row["status"]) == ("mglu-naive", 3, "ok")
    assert row["latency_us"] > 0
    assert len(row["samples_ns"]) >= 10
    assert row.attrs["run"]["folder"] == "mine"
    assert mglubench.load("mine")["key"].tolist() == [row["key"]]


@pytest.mark.parametrize(
    ("variant", "options", "words"),
    [
        ("mglu-naive", {"nm": [1, 2]}, "these options are 2 cases"),
        ("auto", {}, "'auto' is no variant"),
        ("-swiglu", {}, "'-swiglu' is no variant"),
        ("swiglo", {}, "did you mean swiglu"),
        ("swiglu", {"mn": 4}, "unknown option 'mn'"),
    ],
)
def test_what_is_not_one_case_is_refused_before_anything_is_written(tmp_path, variant, options, words):
    with pytest.raises(UsageError, match=words):
        mglubench.run(variant, executor="fake", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_function_is_judged_and_timed_as_variants_are():
    frame = mglubench.bench(gated, out="run", **SMALL)
    assert frame[["variant", "layer", "status"]].to_numpy().tolist() == [
        ["gated", "glu", "ok"],
        ["swiglu", "glu", "ok"],
    ]
    assert frame["rounds"].tolist() == [2, 2]
    assert (frame["error_after"] < 1e-5).all()
    assert (frame["fastest_glu"] == frame.loc[frame["vs_glu"] == 1, "variant"].item()).all()
    assert "gated" not in variants()


def test_a_function_of_masks_and_one_without_a_gate():
    frame = mglubench.bench(masked, layer="mglu", name="mine", nm=[1, 2], against=(), **SMALL)
    assert frame[["variant", "nm", "status"]].to_numpy().tolist() == [["mine", 1, "ok"], ["mine", 2, "ok"]]
    frame = mglubench.bench(lambda x, weight: silu(linear(x, weight)), layer="lu", against="lu", **SMALL)
    assert frame[["variant", "status"]].to_numpy().tolist() == [["lambda", "ok"], ["lu", "ok"]]
    assert Path(frame.attrs["run"]["folder"]).name.startswith("bench-")


def test_a_wrong_function_has_no_time_and_one_that_raises_says_why():
    frame = mglubench.bench(lambda x, gate, value: linear(x, gate) * linear(x, value), against="swiglu", **SMALL)
    assert frame["status"].tolist() == ["wrong", "ok"]
    assert frame["latency_us"].isna().tolist() == [True, False]
    frame = mglubench.bench(lambda x, gate: x, name="short", against=(), **SMALL)
    assert frame["status"].tolist() == ["error"]
    assert "positional argument" in frame["reason"].item()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "read"}, "unknown layer of a function 'read'"),
        ({"name": "swiglu"}, "variant 'swiglu' exists already"),
        ({"name": "two words"}, "has characters that no name may have"),
        ({"variants": "lu"}, "bench takes no variants"),
        ({"against": "swiglo"}, "did you mean swiglu"),
    ],
)
def test_what_cannot_be_benched_is_refused(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        mglubench.bench(gated, **options)
    assert list(tmp_path.iterdir()) == []
