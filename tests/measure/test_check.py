"""A wrong output is caught, however small the wrong part; a right one passes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mglubench.layer.rounding import Bound
from mglubench.layer.tolerance import TOLERANCES
from mglubench.measure.check import compare

FP32 = TOLERANCES["float32"]
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def reference():
    return np.random.default_rng(0).normal(0, 1, (1, 14336))


def test_equal_outputs_have_no_error(reference):
    check = compare(reference.copy(), reference, 1.0)
    assert (check.relative, check.worst, check.unwritten) == (0, 0, 0)
    assert check.why_wrong(FP32) is None


def test_rounding_passes(reference):
    assert compare(reference * (1 + 1e-6), reference, 1.0).why_wrong(FP32) is None


@pytest.mark.parametrize("dtype", sorted(TOLERANCES))
@pytest.mark.parametrize("where", [0, 7000, 14335])
def test_one_wrong_element_among_14336_is_caught(reference, dtype, where):
    y = reference.copy()
    y[0, where] += 1.0
    assert compare(y, reference, 1.0).why_wrong(TOLERANCES[dtype])


def test_relative_error_is_the_ratio_of_norms():
    check = compare(np.array([[3.0, 4.5]]), np.array([[3.0, 4.0]]), 1.0)
    assert check.relative == pytest.approx(0.1)
    assert check.worst == pytest.approx(0.5 / (4 + 5 / np.sqrt(2)))


@pytest.mark.parametrize("count", [1, 14336])
def test_unwritten_elements_are_counted_and_never_pass(reference, count):
    y = reference.copy()
    y[0, :count] = NAN
    check = compare(y, reference, 1.0)
    assert check.unwritten == count
    assert f"{count} output elements are NaN" in check.why_wrong(FP32)


def test_a_nan_that_belongs_there_passes_and_a_number_in_its_place_does_not(reference):
    reference[0, 5] = NAN
    assert compare(reference.copy(), reference, 1.0).why_wrong(FP32) is None
    y = reference.copy()
    y[0, 5] = 0.0
    assert compare(y, reference, 1.0).why_wrong(FP32)


def test_infinities_must_agree_in_sign(reference):
    reference[0, :2] = INF, -INF
    assert compare(reference.copy(), reference, 1.0).why_wrong(FP32) is None
    for wrong in ((INF, INF), (1.0, -INF), (NAN, -INF)):
        y = reference.copy()
        y[0, :2] = wrong
        assert compare(y, reference, 1.0).why_wrong(FP32)


def test_an_infinity_where_a_number_belongs_fails(reference):
    y = reference.copy()
    y[0, 9] = INF
    check = compare(y, reference, 1.0)
    assert check.why_wrong(FP32)
    json.dumps(check.to_dict(), allow_nan=False)


def test_a_zero_reference_is_held_against_the_scale():
    zeros = np.zeros((2, 50))
    assert compare(zeros + 1e-8, zeros, 1.0).why_wrong(FP32) is None
    assert compare(zeros + 1.0, zeros, 1.0).why_wrong(FP32)
    assert compare(zeros, zeros, 0.0).why_wrong(FP32) is None
    assert compare(zeros + 1.0, zeros, 0.0).why_wrong(FP32)
    assert compare(zeros + NAN, zeros, 0.0).unwritten == 100


def test_tolerances_grow_with_the_rounding_of_the_dtype():
    assert TOLERANCES["float32"].relative < TOLERANCES["float16"].relative < TOLERANCES["bfloat16"].relative
    # One wrong row of a thousand must show in the norm alone.
    assert all(tolerance.relative < 1 / np.sqrt(1000) for tolerance in TOLERANCES.values())


def explained(limit, spread=None, drift=0.0, **shapes):
    spread = limit / 2 if spread is None else spread
    return Bound(limit, spread, np.full_like(limit, drift), shapes)


def test_an_element_beyond_what_rounding_explains_fails(reference):
    limit = np.full_like(reference, 1e-7)
    assert (
        compare(reference + 0.9e-7 * np.sign(-reference[0, ::-1]), reference, 1.0, None, explained(limit)).of_bound < 1
    )
    y = reference.copy()
    y[0, 77] += 3e-7
    check = compare(y, reference, 1.0, None, explained(limit))
    assert check.of_bound == pytest.approx(3.0, rel=1e-3)
    assert check.why_wrong(FP32) == "an element is off by 3 times what rounding explains"


def test_errors_that_lean_to_one_side_fail_unless_a_drift_explains_them(reference):
    limit, shape = np.full_like(reference, 1e-6), np.ones_like(reference)
    random = np.random.default_rng(1).normal(0, 1e-7, reference.shape)
    fair = compare(reference + random, reference, 1.0, None, explained(limit, limit / 10, everything=shape))
    assert fair.bias < 0.7
    leaning = compare(reference + random + 2e-8, reference, 1.0, None, explained(limit, limit / 10, everything=shape))
    assert leaning.of_bound < 1 < leaning.bias
    assert "errors lean to one side" in leaning.why_wrong(FP32)
    assert "is everything right?" in leaning.why_wrong(FP32)
    drifting = explained(limit, limit / 10, 3e-8, everything=shape)
    assert compare(reference + random + 2e-8, reference, 1.0, None, drifting).bias < 1


def test_elements_that_are_not_numbers_take_no_part_in_the_finer_checks(reference):
    reference[0, :3] = NAN, INF, -INF
    limit = np.full_like(reference, 1e-6)
    limit[0, :3] = NAN, INF, NAN
    check = compare(reference.copy(), reference, 1.0, None, explained(limit, everything=np.where(limit > 0, 1.0, NAN)))
    assert (check.of_bound, check.bias) == (0, 0)
    assert check.why_wrong(FP32) is None


def test_what_was_left_as_it_was_counts_as_unwritten_unless_it_is_right(reference):
    y, untouched = reference.copy(), np.zeros(reference.shape, bool)
    untouched[0, :5] = True
    y[0, :3] = 2 * y[0, :3] + 1
    assert compare(y, reference, 1.0, untouched).unwritten == 3
