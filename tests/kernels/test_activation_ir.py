"""Vectors of activations against float64, and rows that threads take from a common counter."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mglubench.kernels.activation_ir import next_intrinsic
from mglubench.kernels.cpu_choice import MGLU
from mglubench.kernels.cpu_layers import _activation
from mglubench.kernels.cpu_rows import ACCUMULATORS


def applied(name: str, values: np.ndarray) -> np.ndarray:
    activate, out = _activation(name), np.empty_like(values)
    for first in range(0, len(values), 16):
        activate(values[first : first + 16], out[first : first + 16])
    return out


def test_silu_is_right_to_a_few_ulp_everywhere() -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate([
        np.linspace(-20, 20, 16 * 400), generator.standard_normal(1600) * 1e-3, np.linspace(-87, -20, 1600)
    ]).astype(np.float32)  # fmt: skip
    wide = values.astype(np.float64)
    np.testing.assert_allclose(applied("silu", values), wide / (1 + np.exp(-wide)), rtol=5e-7, atol=1e-44)


def test_silu_at_the_ends_of_fp32_is_that_of_the_definition() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, -104, -89, -88, 0, -0.0, 1e-45, 88, 89, 104, 1, -1])
    with np.errstate(over="ignore", invalid="ignore"):
        wide = values.astype(np.float64)
        expected = wide / (1 + np.exp(-wide))
    found = applied("silu", values.astype(np.float32))
    assert np.isnan(found[[0, 2]]).all()
    assert np.isnan(expected[[0, 2]]).all()
    finite = ~np.isnan(expected)
    np.testing.assert_allclose(found[finite], expected[finite].astype(np.float32), rtol=5e-7, atol=1e-36)


@pytest.mark.parametrize("name", ["silu", "gelu", "relu"])
def test_source_and_target_may_be_the_same(name: str) -> None:
    values = np.linspace(-3, 3, 16).astype(np.float32)
    expected = applied(name, values)
    _activation(name)(values, values)
    np.testing.assert_array_equal(values, expected)


def test_no_turn_is_taken_twice() -> None:
    next_of = next_intrinsic()

    @numba.njit(parallel=True)
    def taken(turns):  # type: ignore[no-untyped-def]
        counter, seen = np.zeros(1, np.int64), np.zeros(turns, np.int64)
        for _ in numba.prange(4):
            while True:
                turn = next_of(counter.ctypes.data)
                if turn >= turns:
                    break
                seen[turn] += 1
        return seen

    assert (taken(10_000) == 1).all()


@pytest.mark.parametrize("nm", range(17))
def test_sums_of_rows_side_by_side_stay_in_registers(nm: int) -> None:
    for tokens in (1, 2, 4, 8, 20):
        for dtype in ("float32", "bfloat16", "float16"):
            shape = MGLU.shape(MGLU.job(64, 8, nm, tokens, dtype))
            assert shape.rows == 1 or shape.accumulators * shape.partials <= ACCUMULATORS
            assert shape.lanes * shape.tile == 16
            assert shape.ahead == 0 or shape.unroll % shape.blocks_per_line == 0
