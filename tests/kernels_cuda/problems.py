"""Inputs for the kernel tests: shapes that enter every unrolled body and every tail, and how each result is judged."""

from __future__ import annotations

import numpy as np
from kernel_emulator import GELU, RELU, SILU, Library, Problem, activate, reference, rounded, run

MASKED = ("flash_mglu_paper", "flash_mglu_packed", "flash_mglu_mma", "flash_mglu_bulk")
ACTIVATIONS = (SILU, GELU, RELU)
ORDERS = ("forward", "reverse", "random")

# Relative error ||y - ref|| / ||ref||: the result is rounded to the element type once, sums are fp32.
TOLERANCE = {False: 1.0e-3, True: 6.0e-3}

# (d, h, batch): one element; less than one vector, one chunk, one tile; odd h (rows of x unaligned) and odd d; whole
# chunks only; more chunks than warps and an odd number of them; both register stages; two token tiles.
SHAPES = (
    (1, 1, 1),
    (3, 7, 2),
    (16, 8, 3),
    (17, 63, 4),
    (16, 64, 5),
    (33, 71, 6),
    (15, 256, 7),
    (20, 321, 8),
    (16, 832, 16),
    (5, 1023, 9),
    (9, 1024, 1),
    (18, 1600, 2),
    (2, 2056, 8),
)


def random_problem(d: int, h: int, batch: int, nm: int, bf16: bool, seed: int, **options: object) -> Problem:
    """Normal weights and inputs; masks of mixed density."""
    rng = np.random.default_rng(seed)
    w = rounded(rng.standard_normal((d, h)), bf16)
    x = rounded(rng.standard_normal((batch, h)) / np.sqrt(h) * 2, bf16)
    masks = rng.random((nm, d, h)) < rng.uniform(0.2, 0.8, (nm, 1, 1)) if nm else None
    w2 = None if nm else rounded(rng.standard_normal((d, h)), bf16)
    return Problem(w, x, masks, w2, bf16=bf16, seed=seed, **options)  # type: ignore[arg-type]


def integer_problem(d: int, h: int, batch: int, nm: int, bf16: bool, seed: int, **options: object) -> Problem:
    """Small integers and relu: every product, sum and output of the definition is exact in fp32."""
    problem = random_problem(d, h, batch, nm, bf16, seed, **options)
    rng = np.random.default_rng(seed)
    problem.w = rng.integers(-2, 3, (d, h)).astype(float)
    problem.x = rng.integers(-1, 2, (batch, h)).astype(float)
    if problem.w2 is not None:
        problem.w2 = rng.integers(-2, 3, (d, h)).astype(float)
    problem.activation = RELU
    return problem


def covering_problems(nm: int, bf16: bool) -> list[Problem]:
    """Every shape once, with activation, thread order, row padding and x alignment varied along."""
    return [
        random_problem(
            *shape,
            nm,
            bf16,
            seed=i + 1,
            activation=ACTIVATIONS[i % 3],
            order=ORDERS[(i + i // 3) % 3],
            pad_columns=i % 2,
            x_offset=i % 5 == 3,
            y_offset=i % 4 == 2,
        )
        for i, shape in enumerate(SHAPES)
    ]


def assert_close(problem: Problem, y: np.ndarray) -> None:
    """As a whole, and element by element; NaN and infinities where the definition has them, and nowhere else."""
    expected = reference(problem)
    finite = np.isfinite(expected)
    same = (y == expected) | (np.isnan(y) & np.isnan(expected))
    wrong = np.argwhere(~same & ~finite | finite & ~np.isfinite(y))
    assert not len(wrong), f"not finite, or not as the definition: {wrong[:3].tolist()} at {describe(problem)}"
    error = np.linalg.norm((y - expected)[finite])
    limit = TOLERANCE[problem.bf16] * np.linalg.norm(expected[finite]) + 1e-7
    assert error <= limit, f"{error} at {describe(problem)}"
    off = np.argwhere(np.where(finite, np.abs(y - np.where(finite, expected, 0.0)) > element_bound(problem), False))
    assert not len(off), f"{len(off)} elements are off, first {off[:3].tolist()} at {describe(problem)}"


def element_bound(problem: Problem) -> np.ndarray:
    """Largest error of each element of y, [batch, d]: half a unit in its last place, and what fp32 sums may lose.

    A sum is taken to be right within 8 u of the sum of its terms' magnitudes, u = 2^-24, whatever its order; an
    activation within 4 u of its argument and result, its slope being at most 1.13.
    """
    u = 2.0**-24
    with np.errstate(invalid="ignore"):
        sums = np.abs(problem.x) @ np.abs(problem.w).T
        if problem.masks is None:
            assert problem.w2 is not None
            parts = [
                (problem.x @ problem.w.T, problem.x @ problem.w2.T, sums, np.abs(problem.x) @ np.abs(problem.w2).T)
            ]
        else:
            halves = [(problem.x @ (m * problem.w).T, problem.x @ (~m * problem.w).T) for m in problem.masks]
            parts = [(gate, value, sums, sums) for gate, value in halves]
        error, size = np.zeros_like(sums), np.zeros_like(sums)
        for gate, value, of_gate, of_value in parts:
            act = np.abs(activate(gate, problem.activation))
            slack = 1.13 * 8 * u * of_gate + 4 * u * (act + np.abs(gate))
            error += slack * (np.abs(value) + 8 * u * of_value) + act * 8 * u * of_value
            size += act * np.abs(value)
        error += (len(parts) + 2) * u * size
        return error + half_unit(np.abs(reference(problem)) + error, problem.bf16)


def half_unit(values: np.ndarray, bf16: bool) -> np.ndarray:
    """Half a unit in the last place of the element type, at ``values``."""
    digits, least = (7, -126) if bf16 else (10, -14)
    exponent = np.floor(np.log2(np.maximum(values, 2.0**least)))
    return 2.0 ** (np.maximum(exponent, least) - digits - 1)


def assert_exact(problem: Problem, y: np.ndarray) -> None:
    expected = rounded(reference(problem), problem.bf16)
    wrong = np.argwhere(y != expected)
    assert not len(wrong), f"{len(wrong)} wrong, first [token, row] {wrong[:3].tolist()} at {describe(problem)}"


def check(library: Library, problems: list[Problem]) -> None:
    """Run, and judge each launch of each problem: exactly for integer inputs, else by relative error."""
    for problem, launches in zip(problems, run(library, problems), strict=True):
        if problem.status:
            continue
        exact = problem.activation == RELU and not (problem.w % 1).any() and not (problem.x % 1).any()
        for y in launches:
            (assert_exact if exact else assert_close)(problem, y)


def describe(problem: Problem) -> str:
    d, h = problem.w.shape
    nm = 0 if problem.masks is None else len(problem.masks)
    return f"d={d} h={h} batch={len(problem.x)} nm={nm} order={problem.order} split_k={problem.split_k}"
