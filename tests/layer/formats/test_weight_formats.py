"""Every weight format: what it stores is what it dequantises to, near the original, and its bytes are counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mglubench.cases.vocabulary import SAME, WEIGHTS
from mglubench.errors import UsageError
from mglubench.layer.formats.weight_formats import FORMATS, format_of, matrix_bytes
from tests.conftest import make_case

NAMES = sorted(FORMATS)
# Half of the largest step between neighbouring codes, as a share of the largest code.
HALF_STEP = {"int8": 0.5 / 127, "int4": 0.5 / 7, "fp8-e4m3": 16 / 448, "mxfp4": 2 / 6}


def drawn(seed: int, d: int, h: int, power: float = 0.0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy((generator.standard_normal((d, h)) * 10.0**power).astype(np.float32))


def test_the_formats_are_those_of_the_axis():
    assert {SAME, *FORMATS} == set(WEIGHTS)
    assert all(made.name == name for name, made in FORMATS.items())
    assert format_of(make_case()) is None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), d=st.integers(1, 5), h=st.integers(1, 300), power=st.floats(-20, 20))
def test_what_is_stored_is_near_and_stays_the_same(name, seed, d, h, power):
    made, weight = FORMATS[name], drawn(seed, d, h, power)
    matrix = made.quantise(weight)
    assert matrix.codes.shape == (d, h)
    assert matrix.scales.shape == (d, made.groups(h))
    assert int(matrix.codes.max()) < 1 << made.bits
    values = matrix.dequantised()
    # Exact in fp32: the same in float64.
    group = made.group_of(h)
    exact = made.decode(matrix.codes).double() * matrix.scales.double().repeat_interleave(group, dim=1)[:, :h]
    assert torch.equal(values.double(), exact)
    spread = torch.nn.functional.pad(weight.abs(), (0, made.groups(h) * group - h)).view(d, -1, group).amax(2)
    # A scale is rounded before it is used, of mxfp4 to a power of two: the largest weight of a group may be cut.
    limit = spread.repeat_interleave(group, dim=1)[:, :h] * (HALF_STEP[name] + 2.0**-7)
    assert bool(((values - weight).abs() <= limit).all())
    again = made.quantise(values)
    if name != "mxfp4":
        assert torch.allclose(again.dequantised(), values, rtol=2.0**-7, atol=0)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), d=st.integers(1, 4), h=st.integers(1, 400))
def test_the_rows_of_a_cpu_hold_codes_and_scales(name, seed, d, h):
    made = FORMATS[name]
    matrix = made.quantise(drawn(seed, d, h))
    rows = made.cpu_rows(matrix)
    assert rows.dtype == torch.uint8
    assert rows.shape == (d, made.cpu_row_bytes(h))
    back = made.from_cpu_rows(rows, h)
    assert torch.equal(back.codes, matrix.codes)
    assert torch.equal(back.scales, matrix.scales)
    assert made.cpu_row_bytes(h) * d >= made.nbytes(d, h)


def test_every_code_is_encoded_as_itself():
    for name, made in FORMATS.items():
        codes = torch.arange(1 << made.bits, dtype=torch.uint8)
        values = made.decode(codes)
        kept = torch.isfinite(values) & (values.abs() <= made.largest)
        assert int(kept.sum()) >= (1 << made.bits) - 2, name
        assert torch.equal(made.decode(made.encode(values[kept])), values[kept]), name


def test_mxfp4_rounds_to_the_nearest_and_ties_to_even():
    made = FORMATS["mxfp4"]
    values = torch.tensor([0.25, 0.26, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 5.1, -0.3])
    assert made.decode(made.encode(values)).tolist() == [0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0, -0.5]


@pytest.mark.parametrize(
    ("name", "bits"), [("int8", 8 + 32 / 2048), ("int4", 4 + 16 / 128), ("fp8-e4m3", 8 + 32 / 2048), ("mxfp4", 4.25)]
)
def test_scales_are_counted(name, bits):
    case = make_case(h=2048, d=64, weights=name)
    assert matrix_bytes(case) == math.ceil(2048 * 64 * bits / 8)
    assert matrix_bytes(make_case(h=2048, d=64)) == 2048 * 64 * 4


@pytest.mark.parametrize("name", NAMES)
def test_zeros_stay_zeros_and_what_is_not_finite_is_refused(name):
    made = FORMATS[name]
    weight = torch.zeros(2, 40)
    assert torch.equal(made.quantise(weight).dequantised(), weight)
    weight[1, 3] = float("inf")
    with pytest.raises(UsageError, match=f"not all finite, and {name} has no code"):
        made.quantise(weight)
