"""Every kernel against float64, in host emulation of its source (not a GPU run)."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_emulator import RELU, Library, Problem, reference, rounded, run, run_statuses, skip_reason
from problems import (
    ACTIVATIONS,
    MASKED,
    ORDERS,
    add_gates,
    assert_close,
    check,
    covering_problems,
    integer_problem,
    random_problem,
)

pytestmark = pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason()))

# Each nm with one element type, each type with even and odd nm, both types at the ends.
SPECIALISATIONS = [
    (1, False),
    (1, True),
    (2, True),
    (3, False),
    (4, True),
    (5, False),
    (6, True),
    (7, False),
    (8, False),
    (8, True),
    (16, True),
]


@pytest.mark.parametrize(("nm", "bf16"), SPECIALISATIONS)
@pytest.mark.parametrize("kernel", MASKED)
def test_masked_kernel_agrees_with_float64(kernel: str, nm: int, bf16: bool) -> None:
    check(Library(kernel, nm, bf16), covering_problems(nm, bf16))


@pytest.mark.parametrize("kernel", MASKED)
def test_masked_kernel_is_exact_on_small_integers_in_every_thread_order(kernel: str) -> None:
    nm, bf16 = 3, False
    problems = [integer_problem(19, 331, batch, nm, bf16, seed=batch, order=o) for batch in (1, 8, 11) for o in ORDERS]
    check(Library(kernel, nm, bf16), problems)


@pytest.mark.parametrize("kernel", MASKED)
def test_every_batch_size(kernel: str) -> None:
    check(Library(kernel, 2, True), [integer_problem(16, 96, batch, 2, True, seed=batch) for batch in range(1, 17)])


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("kernel", MASKED)
def test_masks_of_all_ones_and_all_zeros_give_exactly_zero(kernel: str, bf16: bool) -> None:
    problems = []
    for i, (value, activation) in enumerate((v, a) for v in (False, True) for a in ACTIVATIONS):
        problem = random_problem(17, 1100, 3, 1, bf16, seed=i, activation=activation, split_k=1 + i % 3, sm_count=4)
        problem.masks = np.full_like(problem.masks, value)
        problems.append(problem)
    for (y,) in run(Library(kernel, 1, bf16), problems):
        assert (y == 0.0).all()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kernel", MASKED)
def test_what_a_non_finite_input_touches_is_nan(kernel: str, bad: float) -> None:
    problem = random_problem(18, 200, 4, 3, True, seed=3)
    clean = reference(problem)
    for row, column in ((2, 0), (16, 199)):
        problem.w[row, column] = bad
    problem.x[1, 77] = bad
    (y,) = run(Library(kernel, 3, False), [_as_fp16(problem)])[0]
    touched = np.zeros(y.shape, bool)
    touched[:, [2, 16]] = True
    touched[1, :] = True
    assert np.isnan(y[touched]).all()
    assert np.abs(y - clean)[~touched].max() < 0.05 * np.abs(clean).max()


def test_swiglu_agrees_with_float64() -> None:
    for bf16 in (False, True):
        check(Library("swiglu_fused", bf16=bf16), covering_problems(0, bf16))


def test_swiglu_is_exact_on_small_integers() -> None:
    problems = [integer_problem(19, 331, batch, 0, False, seed=batch, order=o) for batch in (1, 8, 11) for o in ORDERS]
    check(Library("swiglu_fused"), problems)


@pytest.mark.parametrize("bf16", [False, True])
def test_stream_read_sums_rows(bf16: bool) -> None:
    problems = [random_problem(d, h, batch, 0, bf16, seed=h) for d, h, batch in ((1, 1, 1), (9, 2048, 2), (6, 4111, 1))]
    for problem, (y,) in zip(problems, run(Library("stream_read", bf16=bf16), problems), strict=True):
        expected = np.broadcast_to(problem.w.sum(axis=1), y.shape)
        assert np.abs(y - expected).max() <= (0.004 if bf16 else 0.0005) * np.abs(expected).max() + 1e-3


@pytest.mark.parametrize("kernel", ["flash_mglu_mma", "flash_mglu_bulk", "swiglu_fused"])
def test_split_tiles_need_zeroed_counters_once_and_are_reproducible(kernel: str) -> None:
    nm = 0 if kernel == "swiglu_fused" else 2
    d, h = 37, 1500
    counters = 16  # three tiles: one 16-byte group of counters, all that the caller must zero
    problems = [
        random_problem(d, h, 9, nm, False, seed=5, split_k=split, order=o, launches=3, zero_bytes=counters)
        for split in (2, 3, 5)
        for o in ORDERS
    ]
    for problem, launches in zip(problems, run(Library(kernel, max(nm, 1)), problems), strict=True):
        for y in launches:
            assert_close(problem, y, kernel)
            assert (y == launches[0]).all()


def test_split_is_chosen_from_the_multiprocessors() -> None:
    """Few tiles and many multiprocessors: the tiles are shared, and results stay right."""
    problems = [random_problem(16, 4096, 2, 2, False, seed=6, sm_count=count, launches=2) for count in (0, 1, 132)]
    for kernel in ("flash_mglu_mma", "flash_mglu_bulk"):
        check(Library(kernel, 2), problems)


def test_paper_kernel_leaves_its_partial_sums_zeroed() -> None:
    check(Library("flash_mglu_paper", 2), [integer_problem(9, 3000, 2, 2, False, seed=1, launches=3, split_k=3)])


@pytest.mark.parametrize("kernel", MASKED)
def test_thread_order_does_not_change_a_bit(kernel: str) -> None:
    base = random_problem(35, 900, 3, 4, True, seed=11)
    first, *others = run(Library(kernel, 4, True), [base.with_order(o, s) for o in ORDERS for s in (1, 2)])
    for y in others:
        assert (y[0] == first[0]).all()


@pytest.mark.parametrize(
    "defines",
    [("MGLU_WARPS=1",), ("MGLU_WARPS=8",), ("MGLU_STAGES=1",), ("MGLU_SEGMENT=256", "MGLU_RING=3"), ("MGLU_RING=1",)],
)
def test_tuning_macros_do_not_change_results(defines: tuple[str, ...]) -> None:
    kernel = "flash_mglu_bulk" if "RING" in defines[-1] else "flash_mglu_mma"
    check(Library(kernel, 3, True, defines=defines), covering_problems(3, True))


STATUSES = {
    -2: {"batch": 17},
    -3: {"nm": 5},
    -4: {"w_row_stride": 12},
    -6: {"activation": 3},
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("kernel", MASKED)
def test_bad_arguments_are_refused(kernel: str, status: int) -> None:
    problem = integer_problem(4, 16, 1, 2, False, seed=1)
    problem.overrides = STATUSES[status]
    if "batch" in problem.overrides:
        problem.x = np.zeros((17, 16))
    assert run_statuses(Library(kernel, 2), [problem])[0][0] == status


def test_missing_masks_are_refused() -> None:
    problem = integer_problem(4, 16, 1, 2, False, seed=1)
    problem.masks = None
    assert run_statuses(Library("flash_mglu_mma", 2), [problem])[0][0] == -1


def test_relu_reference_is_the_definition() -> None:
    problem = Problem(np.array([[2.0, 3.0]]), np.array([[1.0, -1.0]]), np.array([[[True, False]]]), activation=RELU)
    assert reference(problem).tolist() == [[-6.0]]


def _as_fp16(problem: Problem) -> Problem:
    problem.bf16 = False
    problem.w, problem.x = rounded(problem.w, False), rounded(problem.x, False)
    return problem


@pytest.mark.parametrize(("nm", "bf16"), [(1, False), (4, True), (8, False)])
def test_a_routed_layer_weighs_masks_by_token_and_reads_only_kept_ones(nm: int, bf16: bool) -> None:
    problems = covering_problems(nm, bf16)
    for seed, problem in enumerate(problems):
        add_gates(problem, seed)
    problems[0].gates = np.zeros_like(problems[0].gates)
    check(Library("flash_mglu_routed", nm, bf16), problems)
    assert any(not problem.gates[:, -1].any() for problem in problems), "a plane that is not even there"
