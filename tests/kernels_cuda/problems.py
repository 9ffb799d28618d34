"""Inputs for the kernel tests: shapes that enter every unrolled body and every tail, and how each result is judged."""

from __future__ import annotations

import numpy as np
import torch
from kernel_emulator import GELU, RELU, SILU, Library, Problem, reference, rounded, run

from mglubench.layer.formats.weight_format import Quantised
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.input_set import Terms
from mglubench.layer.products import Sums
from mglubench.layer.rounding import bound
from mglubench.variants.cuda_kernels import KERNELS

MASKED = ("flash_mglu_paper", "flash_mglu_packed", "flash_mglu_mma", "flash_mglu_bulk")
ACTIVATIONS = (SILU, GELU, RELU)
# What each kernel's variant is judged by.
METHODS = {variant.kernel.source: variant.method for variant in KERNELS}
METHODS["flash_mglu_routed"] = METHODS["flash_mglu_mma"]
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


def add_gates(problem: Problem, seed: int) -> None:
    """A router's weights, of which about half are 0: masks that some tokens keep, masks that none does, tokens of none.

    Whole numbers where the problem has whole ones, else up to 1.
    """
    assert problem.masks is not None
    rng, shape = np.random.default_rng(seed), (len(problem.x), len(problem.masks))
    with np.errstate(invalid="ignore"):  # what is not finite is not whole
        whole = not (problem.w % 1).any()
    weights = rng.integers(1, 3, shape) if whole else rounded(rng.uniform(0.0, 1.0, shape), problem.bf16)
    kept = (rng.random(shape) < 0.7) & (rng.random(shape[1]) < 0.7)
    problem.gates = np.where(kept, weights, rng.choice([0.0, -0.0], shape)).astype(float)


def coded_problem(form: str, d: int, h: int, batch: int, nm: int, seed: int, **options: object) -> Problem:
    """Weights of a format, every one of its codes and scales of several binades among them."""
    problem = random_problem(d, h, batch, nm, False, seed, **options)
    rng = np.random.default_rng(seed)

    def stored() -> Quantised:
        spread = np.exp2(rng.integers(-3, 4, (d, -(-h // 32))).repeat(32, axis=1)[:, :h])
        return FORMATS[form].quantise(torch.from_numpy(rng.standard_normal((d, h)) * spread))

    problem.stored = stored()
    problem.w = problem.stored.dequantised().double().numpy()
    if problem.w2 is not None:
        problem.stored2 = stored()
        problem.w2 = problem.stored2.dequantised().double().numpy()
    return problem


def integer_codes(problem: Problem, form: str) -> Problem:
    """The same small integers as codes of a format, with powers of two for scales: everything is exact."""
    made, rng = FORMATS[form], np.random.default_rng(problem.seed)

    def stored(w: np.ndarray) -> Quantised:
        scales = torch.from_numpy(np.exp2(rng.integers(-1, 2, (len(w), made.groups(w.shape[1]))))).float()
        return Quantised(made, made.encode(torch.from_numpy(w).float()), scales)

    problem.stored = stored(problem.w)
    problem.w = problem.stored.dequantised().double().numpy()
    if problem.w2 is not None:
        problem.stored2 = stored(problem.w2)
        problem.w2 = problem.stored2.dequantised().double().numpy()
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


def assert_close(problem: Problem, y: np.ndarray, kernel: str) -> None:
    """As a whole, and element by element; NaN and infinities where the definition has them, and nowhere else."""
    expected = reference(problem)
    with np.errstate(over="ignore"):
        stored = rounded(expected, problem.bf16)  # infinite beyond the largest element
    finite = np.isfinite(stored)
    same = (y == stored) | (np.isnan(y) & np.isnan(stored))
    wrong = np.argwhere(~same & ~finite | finite & ~np.isfinite(y))
    assert not len(wrong), f"not finite, or not as the definition: {wrong[:3].tolist()} at {describe(problem)}"
    error = np.linalg.norm(y[finite] - expected[finite])
    limit = TOLERANCE[problem.bf16] * np.linalg.norm(expected[finite]) + 1e-7
    assert error <= limit, f"{error} at {describe(problem)}"
    errors = np.abs(np.where(finite, y, 0.0) - np.where(finite, expected, 0.0))
    # Where a sum is infinite and the output is not (relu of -inf), nothing is rounded.
    off = np.argwhere((errors > 0) & ~(errors <= bound_of(problem, kernel)))
    assert not len(off), f"{len(off)} elements are off, first {off[:3].tolist()} at {describe(problem)}"


def bound_of(problem: Problem, kernel: str) -> np.ndarray:
    """Largest error of each element of y, [batch, d], by the judge of every sweep."""
    dtype, activation = ("bfloat16" if problem.bf16 else "float16"), ("silu", "gelu", "relu")[problem.activation]
    with np.errstate(invalid="ignore", over="ignore"):
        return bound(_terms(problem), METHODS[kernel], dtype, activation, "cuda").limit


def _terms(problem: Problem) -> Terms:
    """The sums that y is made of, [d, tokens]."""
    w, x = problem.w, problem.x

    def sums(matrix: np.ndarray) -> Sums:
        return Sums(matrix @ x.T, matrix**2 @ (x**2).T)

    def weighed(value: Sums, gates: np.ndarray) -> Sums:
        return Sums(value.values * gates, value.squares * gates**2)

    h = w.shape[1]
    if problem.masks is not None:
        pairs = [(sums(mask * w), sums(~mask * w)) for mask in problem.masks]
        if problem.gates is not None:
            pairs = [(gate, weighed(value, problem.gates[:, i])) for i, (gate, value) in enumerate(pairs)]
        return Terms("mglu", h, sums(w), pairs)
    if problem.w2 is not None:
        return Terms("glu", h, sums(w), [(sums(w), sums(problem.w2))])
    alone = Sums(w.sum(axis=1, keepdims=True), (w**2).sum(axis=1, keepdims=True))
    return Terms("read", h, alone, [])


def assert_exact(problem: Problem, y: np.ndarray) -> None:
    expected = rounded(reference(problem), problem.bf16)
    wrong = np.argwhere(y != expected)
    assert not len(wrong), f"{len(wrong)} wrong, first [token, row] {wrong[:3].tolist()} at {describe(problem)}"


def check(library: Library, problems: list[Problem]) -> None:
    """Run, and judge each launch of each problem: exactly for integer inputs, else by relative error."""
    for problem, launches in zip(problems, run(library, problems), strict=True):
        if problem.status:
            continue
        with np.errstate(invalid="ignore"):
            whole = not (problem.w % 1).any() and not (problem.x % 1).any()  # NaN and infinities are not
        exact = whole and (problem.activation == RELU or (problem.masks is None and problem.w2 is None))
        same = problem.masks is not None and problem.masks.min() == problem.masks.max() and np.isfinite(problem.w).all()
        for y in launches:
            if same:
                assert (y == 0.0).all(), f"masks that are all alike must give exactly zero at {describe(problem)}"
            if exact:
                assert_exact(problem, y)
            else:
                assert_close(problem, y, library.kernel)


def describe(problem: Problem) -> str:
    d, h = problem.w.shape
    nm = 0 if problem.masks is None else len(problem.masks)
    return f"d={d} h={h} batch={len(problem.x)} nm={nm} order={problem.order} split_k={problem.split_k}"
