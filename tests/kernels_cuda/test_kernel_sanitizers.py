"""Kernels under address, undefined-behaviour and thread sanitizers, in host emulation (not a GPU run)."""

from __future__ import annotations

import pytest
from kernel_emulator import Library, Problem, skip_reason
from problems import MASKED, ORDERS, check, integer_problem, random_problem

needs_asan = pytest.mark.skipif(skip_reason("asan") is not None, reason=str(skip_reason("asan")))
needs_tsan = pytest.mark.skipif(skip_reason("tsan") is not None, reason=str(skip_reason("tsan")))

# Tails of every kind: the last vector, chunk and tile are partial, or there is nothing but a tail, or no tail at all.
TAILS = ((1, 1, 1), (17, 63, 9), (16, 128, 8), (19, 329, 2), (33, 1100, 3), (4, 2050, 16))


def _tail_problems(nm: int, bf16: bool) -> list[Problem]:
    return [
        random_problem(*shape, nm, bf16, seed=i, order=ORDERS[i % 3], split_k=1 + i % 3, x_offset=i % 2, launches=2)
        for i, shape in enumerate(TAILS)
    ] + [random_problem(83, 331, 2, nm, bf16, seed=9, sm_count=1, y_offset=1)]  # several tiles per block


@needs_asan
@pytest.mark.parametrize("nm", [2, 5])
@pytest.mark.parametrize("kernel", MASKED)
def test_masked_kernel_stays_in_bounds_and_aligned(kernel: str, nm: int) -> None:
    check(Library(kernel, nm, sanitizer="asan"), _tail_problems(nm, False))


@needs_asan
@pytest.mark.parametrize("kernel", ["swiglu_fused"])
def test_swiglu_stays_in_bounds_and_aligned(kernel: str) -> None:
    check(Library(kernel, bf16=True, sanitizer="asan"), _tail_problems(0, True))


@needs_asan
def test_stream_read_stays_in_bounds_and_aligned() -> None:
    from kernel_emulator import run

    problems = [random_problem(d, h, 1, 0, False, seed=1) for d, h in ((1, 1), (5, 2049), (4, 256), (3, 4095))]
    assert len(run(Library("stream_read", sanitizer="asan"), problems)) == 4


@needs_tsan
@pytest.mark.parametrize("kernel", [*MASKED, "swiglu_fused"])
def test_threads_of_a_block_do_not_race(kernel: str) -> None:
    nm = 0 if kernel == "swiglu_fused" else 2
    problems = [integer_problem(17, 330, 2, nm, False, seed=s, order=ORDERS[s], split_k=2) for s in range(3)]
    problems += [integer_problem(48, 300, 1, nm, False, seed=3, sm_count=1, order="random")]  # several tiles per block
    check(Library(kernel, max(nm, 1), sanitizer="tsan"), problems)


@needs_tsan
@pytest.mark.parametrize("kernel", [*MASKED, "swiglu_fused"])
def test_blocks_of_a_grid_do_not_race(kernel: str) -> None:
    nm = 0 if kernel == "swiglu_fused" else 1
    # A block per row of flash_mglu_paper: small ones, and a process per order, or memory for threads runs out.
    defines = ("MGLU_WARPS=2",) if kernel == "flash_mglu_paper" else ()
    for order in ORDERS:
        problem = integer_problem(9, 200, 1, nm, False, seed=1, split_k=3, order=order, concurrent_blocks=True)
        check(Library(kernel, max(nm, 1), sanitizer="tsan", defines=defines), [problem])
