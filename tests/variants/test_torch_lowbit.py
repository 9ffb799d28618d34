"""Baselines over weights of a format: right in every format that they know, and what they do not know is said."""

from __future__ import annotations

import pytest

from mglubench.executors.local import LocalSession
from mglubench.runner.verify import verify
from mglubench.variants.registry import get_variant
from tests.conftest import make_case

SHAPES = ((1, 1), (200, 41), (384, 32))
CASES = [
    (name, weights)
    for name in ("swiglu-dequantise", "swiglu-torch-lowbit", "mglu-dequantise", "mglu-op")
    for weights in get_variant(name).formats
    if weights != "same"
]


@pytest.mark.parametrize(("name", "weights"), CASES)
def test_it_is_right_and_the_formats_error_is_apart(name, weights):
    variant = get_variant(name)
    nm = 2 if variant.layer == "mglu" else 0
    cases = [make_case(variant=name, h=h, d=d, nm=nm, batch=2, weights=weights) for h, d in SHAPES]
    cases = [case for case in cases if not variant.why_refused(case)]
    assert [(verdict.status, verdict.reason) for verdict in verify(LocalSession(), cases)] == [("ok", "")] * len(cases)
    prepared = LocalSession().prepare(cases[-1])
    assert prepared.check["relative"] < 1e-5 < 1e-3 < prepared.check["quantisation"]


def test_what_a_variant_does_not_know_is_one_line():
    refused = get_variant("swiglu-torch-lowbit").why_refused
    assert (
        refused(make_case(nm=0, h=100, weights="int4"))
        == "torch's int4 product takes 128 columns and 16 rows at a time, not 100x10"
    )
    assert refused(make_case(nm=0, weights="mxfp4")) == "weights mxfp4 are not among int8, int4"
    on_gpu = make_case(device="cuda", dtype="bfloat16", weights="int8")
    words = "weights int8 are computed with in float16 on cuda, x is bfloat16; convert it"
    assert get_variant("mglu-op").why_refused(on_gpu) == words
    assert get_variant("swiglu").why_refused(make_case(nm=0, weights="int8")) == "weights int8 are not among same"
