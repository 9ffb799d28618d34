"""Sweeps: what is asked for becomes cases; every complaint names the value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mglubench.cases.case import Case
from mglubench.cases.config import build_spec
from mglubench.cases.sweep_spec import MeasureSettings, SweepSpec, parse_shape, zip_shapes
from mglubench.errors import UsageError


def masked(name: str) -> bool:
    return name.startswith("mglu")


def test_lists_may_be_text_lists_or_single_values():
    text = build_spec({"h": "64,128", "d": "96, 192", "nm": "1,2"})
    lists = build_spec({"h": [64, 128], "d": [96, 192], "nm": [1, 2]})
    assert text == lists
    assert text.shapes == ((64, 96), (128, 192))
    assert build_spec({"nm": 3}).nm == (3,)


def test_one_value_of_h_or_d_pairs_with_all_of_the_other():
    assert zip_shapes((64,), (96, 128)) == ((64, 96), (64, 128))
    assert zip_shapes((64, 32), (96,)) == ((64, 96), (32, 96))
    assert zip_shapes((1, 2, 3), (4, 5, 6)) == ((1, 4), (2, 5), (3, 6))


def test_lists_of_unequal_length_do_not_zip():
    with pytest.raises(UsageError, match=r"--h has 2 values and --d has 3"):
        build_spec({"h": "1,2", "d": "1,2,3"})


def test_shape_excludes_h_and_d():
    with pytest.raises(UsageError, match=r"either --shape, or --h and --d"):
        build_spec({"shape": "64x96", "h": "64"})
    assert build_spec({"shape": "64x96,32x8"}).shapes == ((64, 96), (32, 8))
    assert parse_shape(" 64X96 ") == (64, 96)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"nm": "0"}, "nm is 0; allowed: 1 to 16"),
        ({"nm": "17"}, "nm is 17; allowed: 1 to 16"),
        ({"nm": "x"}, "nm must be a whole number, got 'x'"),
        ({"nm": "1,,2"}, "empty entry"),
        ({"nm": ""}, "empty entry"),
        ({"nm": []}, "empty"),
        ({"nm": [True]}, "plain values"),
        ({"nm": 1.5}, "whole number"),
        ({"h": "-8"}, "h is -8"),
        ({"h": "0"}, "h is 0"),
        ({"d": str(1 << 40)}, "d is 1099511627776"),
        ({"shape": "64"}, "not HxD"),
        ({"shape": "64x"}, "shape d must be a whole number"),
        ({"shape": "64x96x3"}, "shape d must be a whole number"),
        ({"batch": "0"}, "batch is 0"),
        ({"seed": "-1"}, "seed is -1"),
        ({"dtype": "float12"}, "unknown dtype 'float12'; did you mean .*float16"),
        ({"mode": "cald"}, "unknown mode 'cald'; did you mean cold"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"activation": "gelo"}, "did you mean gelu"),
        ({"mask": "bernoulli:2"}, "unknown mask"),
        ({"mask": "bernoulli:nan"}, "unknown mask"),
        ({"target_noise": "0"}, "target-noise is 0"),
        ({"target_noise": "nan"}, "target-noise is nan"),
        ({"target_noise": "loud"}, "target_noise must be a number"),
        ({"min_samples": "2"}, "min-samples is 2"),
        ({"min_samples": "20", "max_samples": "10"}, "min-samples is 20"),
        ({"max_seconds": "inf"}, "max-seconds is inf"),
        ({"case_timeout": "-1"}, "case-timeout is -1"),
        ({"name": "../up"}, "name '../up'"),
        ({"ceiling": "yes"}, "ceiling must be true or false"),
    ],
)
def test_a_bad_value_is_named(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        build_spec(options)


def test_a_yes_where_a_number_belongs_is_refused():
    with pytest.raises(UsageError, match=r"max_seconds must be a number, got True"):
        build_spec({"max_seconds": True})


def test_words_become_canonical_and_unique():
    spec = build_spec(
        {
            "dtype": "fp32,F32,half",
            "mask": "0.5,bernoulli:0.50,ONES",
            "mode": "Cold,cold",
            "nm": "1,1",
            "h": "8,8",
            "d": 4,
        }
    )
    assert spec.dtype == ("float32", "float16")
    assert spec.lists["mask"] == ("bernoulli:0.5", "ones")
    assert spec.lists["mode"] == ("cold",)
    assert spec.nm == (1,)
    assert spec.shapes == ((8, 4),)


def test_specs_survive_json():
    spec = build_spec(
        {"shape": "64x96,1x7", "nm": "1,16", "variants": "lu,swiglu", "max_seconds": 0.1, "name": "a.b-c"}
    )
    assert SweepSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_auto_is_resolved_and_explicit_names_are_kept():
    found = SweepSpec().resolve(device="cpu", dtype="float32", variants=("lu",))
    assert (found.device, found.dtype, found.variants) == (("cpu",), ("float32",), ("lu",))
    asked = build_spec({"variants": "swiglu", "dtype": "half"}).resolve(device="cpu", dtype="float32", variants=("lu",))
    assert (asked.dtype, asked.variants) == (("float16",), ("swiglu",))


def test_variants_without_masks_appear_once_per_setting():
    spec = build_spec({"shape": "8x4", "nm": "1,2", "variants": "lu,mglu-a", "device": "cpu", "dtype": "fp32"})
    cases = spec.cases(masked)
    assert [(case.variant, case.nm, case.mask) for case in cases] == [
        ("lu", 0, "none"),
        ("mglu-a", 1, "bernoulli:0.5"),
        ("mglu-a", 2, "bernoulli:0.5"),
    ]


axis = st.lists(st.integers(1, 9), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(axis, axis, axis, st.sets(st.sampled_from(["ones", "zeros", "0.5", "0.25"]), min_size=1))
def test_keys_of_a_sweep_are_unique_and_cases_survive_json(nm, batch, h, mask):
    spec = build_spec({"h": h, "d": 4, "nm": nm, "batch": batch, "mask": sorted(mask), "variants": "lu,mglu-a,mglu-b",
                       "dtype": "float32,half", "mode": "cold,hot", "device": "cpu"})  # fmt: skip
    cases = spec.cases(masked)
    keys = {case.key for case in cases}
    assert len(keys) == len(cases)
    per_setting = 1 + 2 * len(set(nm)) * len(mask)
    assert len(cases) == per_setting * len(set(batch)) * len(set(h)) * 4
    assert all(Case.from_dict(json.loads(json.dumps(case.to_dict()))) == case for case in cases)


def test_a_case_from_a_newer_minor_version_is_read():
    case = Case("lu", 8, 4)
    assert Case.from_dict({**case.to_dict(), "invented": 1}) == case


def test_min_samples_may_not_pass_max_samples():
    assert MeasureSettings(min_samples=5, max_samples=5).max_samples == 5
    with pytest.raises(UsageError, match=r"max-samples"):
        MeasureSettings(max_samples=2_000_000)
