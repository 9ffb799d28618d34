"""Values as users type them: ranges, models, other names of activations and dtypes."""

from __future__ import annotations

import pytest

from mglubench.cases.config import build_spec, merged_spec
from mglubench.cases.models import shape_of
from mglubench.cases.ranges import MOST, numbers_in
from mglubench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..4", [1, 2, 3, 4]),
        ("3..3", [3]),
        ("pow2:256..4096", [256, 512, 1024, 2048, 4096]),
        ("pow2:3..9", [4, 8]),
        ("pow2:1..1", [1]),
        ("7", ["7"]),
        (7, [7]),
    ],
)
def test_what_a_range_stands_for(text, values):
    assert numbers_in(text, "nm") == values


@pytest.mark.parametrize(
    "text", ["4..1", "1..", "..3", "1...3", "a..b", "pow2:", "pow2:5..7", "pow2:8", f"1..{MOST + 1}"]
)
def test_a_range_that_cannot_be_is_named(text):
    with pytest.raises(UsageError, match="nm has the range") as caught:
        numbers_in(text, "nm")
    assert text in str(caught.value)


def test_every_numeric_axis_takes_ranges():
    spec = build_spec({"h": "pow2:256..512", "d": "1024", "nm": "1..3,8", "batch": ["pow2:1..4"]})
    assert spec.shapes == ((256, 1024), (512, 1024))
    assert (spec.nm, spec.batch) == ((1, 2, 3, 8), (1, 2, 4))
    with pytest.raises(UsageError, match="nm is 17"):
        build_spec({"nm": "15..18"})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("llama-3.2-1b", "2048x8192"),
        ("meta-llama/Llama-3.2-1B", "2048x8192"),
        (" Qwen3-8B", "4096x12288"),
        ("mistral-7b-v0.1", "4096x14336"),
    ],
)
def test_a_model_is_its_layers_shape(name, shape):
    assert shape_of(name) == shape


def test_models_stand_for_shapes():
    assert build_spec({"model": "llama-3.2-1b,qwen3-8b"}).shapes == ((2048, 8192), (4096, 12288))
    with pytest.raises(UsageError, match=r"unknown model 'llama-3.2-1bb'; did you mean llama-3.2-1b"):
        build_spec({"model": "llama-3.2-1bb"})
    for other in ({"h": "8"}, {"shape": "8x8"}):
        with pytest.raises(UsageError, match="either --model, or --shape"):
            build_spec({"model": "qwen3-8b", **other})


def test_the_models_of_a_sweep_file_give_way_to_a_shape_and_its_shapes_to_a_model():
    assert len(merged_spec({}, "llms").shapes) == 13
    assert merged_spec({"h": "64"}, "llms").shapes == ((64, 8192),)
    assert merged_spec({"model": "qwen3-8b"}, "llms").shapes == ((4096, 12288),)
    assert merged_spec({"model": "qwen3-8b"}, "paper").shapes == ((4096, 12288),)
    assert merged_spec({"shape": "8x8"}, "llms").shapes == ((8, 8),)


def test_names_that_users_type_are_known():
    spec = build_spec({"activation": "Swish,geglu,reglu", "dtype": "fp16,bf16,f16"})
    assert spec.lists["activation"] == ("silu", "gelu", "relu")
    assert spec.dtype == ("float16", "bfloat16")
