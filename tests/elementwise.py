"""How far each element of a right output may be from float64, whatever the order of its sums."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

U = 2.0**-24  # half a unit in the last place of fp32
DIGITS = {"float32": (23, -126), "float16": (10, -14), "bfloat16": (7, -126)}  # of the fraction; smallest exponent


def half_unit(values: Float64, dtype: str) -> Float64:
    """Half a unit in the last place of ``dtype``, at ``values``."""
    digits, least = DIGITS[dtype]
    exponent = np.floor(np.log2(np.maximum(values, 2.0**least)))
    return np.asarray(2.0 ** (np.maximum(exponent, least) - digits - 1))


def element_bound(
    x: Float64,
    w: Float64,
    masks: npt.NDArray[np.bool_] | None,
    w2: Float64 | None,
    activate: Callable[[Float64], Float64],
    dtype: str,
) -> Float64:
    """Largest error of each element of y, [batch, d], for x [batch, h], w [d, h] and masks [nm, d, h] or w2 [d, h].

    A sum is taken to be right within 8 u of the sum of its terms' magnitudes, u = 2^-24; an activation, whose slope is
    at most 1.13, within 4 u of its argument and result; y is rounded to ``dtype`` once. Without masks and w2: row sums.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        if masks is None and w2 is None:
            slack = np.broadcast_to(8 * U * np.abs(w).sum(axis=1), (len(x), len(w)))
            return slack + half_unit(np.abs(w.sum(axis=1)) + slack, dtype)
        sums = np.abs(x) @ np.abs(w).T
        if masks is not None:
            halves = [(x @ (mask * w).T, x @ (~mask * w).T, sums) for mask in masks]
        else:
            assert w2 is not None
            halves = [(x @ w.T, x @ w2.T, np.abs(x) @ np.abs(w2).T)]
        error, size, y = np.zeros_like(sums), np.zeros_like(sums), np.zeros_like(sums)
        for gate, value, of_value in halves:
            act = activate(gate)
            y += act * value
            of_gate = 1.13 * 8 * U * sums + 4 * U * (np.abs(act) + np.abs(gate))
            error += of_gate * (np.abs(value) + 8 * U * of_value) + np.abs(act) * 8 * U * of_value
            size += np.abs(act * value)
        error += (len(halves) + 2) * U * size
        return error + half_unit(np.abs(y) + error, dtype)


def worst_ratio(y: Float64, expected: Float64, bound: Float64) -> float:
    """Largest error in units of its bound; infinite where one of the two is not finite and the other is otherwise."""
    finite = np.isfinite(expected)
    same = (y == expected) | (np.isnan(y) & np.isnan(expected))
    if (~same & ~finite).any() or (finite & ~np.isfinite(y)).any():
        return float("inf")
    error = np.abs(np.where(finite, y, 0.0) - np.where(finite, expected, 0.0))
    return float(np.max(error / np.where(finite, bound, 1.0), initial=0.0))
