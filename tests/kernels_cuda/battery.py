"""What every kernel has to stand: a few builds, each with the problems that enter its paths. Also what mutants meet.

Persistent loops go round several times (small ``sm_count``, more rows than its slots), odd remainders in d and h, up to
16 tokens, 16 masks, x and y off their alignment, NaN and infinities under every activation, bad arguments, every macro.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from kernel_emulator import FAULTS, Library, Problem
from problems import ACTIVATIONS, ORDERS, add_gates, coded_problem, integer_codes, integer_problem, random_problem

from mglubench.layer.formats.weight_formats import FORMATS

BULK, MMA, PACKED, PAPER = "flash_mglu_bulk", "flash_mglu_mma", "flash_mglu_packed", "flash_mglu_paper"
ROUTED, SWIGLU, STREAM = "flash_mglu_routed", "swiglu_fused", "stream_read"
MASKED = (PAPER, PACKED, MMA, BULK, ROUTED)
KERNELS = (*MASKED, SWIGLU, STREAM)
TILED = (MMA, BULK, ROUTED, SWIGLU)
SPLITS = (*TILED, PAPER)  # kernels with a workspace


# (d, h, batch): one element; tails of every kind; odd numbers of steps, of which groups of 128 columns are cut; two
# token tiles; nothing but whole steps.
CODED_SHAPES = ((1, 1, 1), (17, 63, 4), (33, 71, 9), (16, 128, 8), (20, 321, 2), (18, 1600, 16), (5, 2056, 3))


@dataclass(frozen=True)
class Stage:
    """One build and what it has to get right."""

    name: str
    library: Library
    problems: list[Problem]


def stages(kernel: str) -> Iterator[Stage]:
    """Quick and telling ones first; those under a sanitizer last."""
    for stage in _stages(kernel):
        if kernel == ROUTED:
            for seed, problem in enumerate(stage.problems):
                add_gates(problem, seed)
        yield stage


def _stages(kernel: str) -> Iterator[Stage]:
    masked = kernel in MASKED
    nm = 3 if masked else 0
    yield Stage("main", Library(kernel, max(nm, 1)), main_problems(kernel, nm, False))
    if masked:
        sixteen = many_masks(16, True) + chosen_splits(kernel, 16, True)
        yield Stage("16 masks", Library(kernel, 16, True), sixteen)
        yield Stage("7 masks", Library(kernel, 7, False), many_masks(7, False))
    else:
        yield Stage("bfloat16", Library(kernel, bf16=True), main_problems(kernel, 0, True))
    for defines in macros(kernel):
        small = 2 if masked else 0
        yield Stage(
            " ".join(defines), Library(kernel, max(small, 1), True, defines=defines), tuned(kernel, small, True)
        )
    for form in FORMATS if kernel in (MMA, SWIGLU) else ():
        small = 2 if masked else 0
        yield Stage(form, Library(kernel, max(small, 1), weights=form), coded(form, small))
    yield from refusals(kernel)
    yield Stage("address", Library(kernel, 2 if masked else 1, sanitizer="asan"), in_bounds(kernel, 2 if masked else 0))
    if kernel != STREAM:
        yield Stage("races", Library(kernel, 1, sanitizer="tsan"), racing(1 if masked else 0))


def coded(form: str, nm: int) -> list[Problem]:
    """Random codes with every activation, integers that must come out exactly, what is not finite, masks all alike."""
    made = [
        coded_problem(form, *shape, nm, i + 1, activation=ACTIVATIONS[i % 3], order=ORDERS[i % 3], x_offset=i % 2)
        for i, shape in enumerate(CODED_SHAPES)
    ]
    for i, (shape, split) in enumerate(zip(((40, 2600, 8), (21, 1500, 9), (37, 331, 1)), (0, 3, 2), strict=True)):
        made.append(integer_codes(integer_problem(*shape, nm, False, seed=i, split_k=split, launches=2), form))
    not_finite = coded_problem(form, 18, 200, 4, nm, 5)
    not_finite.x[1, 77], not_finite.x[2, 5] = np.inf, np.nan
    made.append(not_finite)
    for value in (False, True) if nm else ():
        made.append(coded_problem(form, 17, 300, 3, nm, 6))
        made[-1].masks = np.full((nm, 17, 300), value)
    return made


def make(kind: str, kernel: str, d: int, h: int, batch: int, nm: int, bf16: bool, **options: object) -> Problem:
    """A problem as ``kernel`` takes it."""
    maker = integer_problem if kind == "integer" else random_problem
    problem = maker(d, h, batch, nm, bf16, seed=d + h + batch, **options)
    if kernel == STREAM:
        problem.w2 = None
    return problem


def main_problems(kernel: str, nm: int, bf16: bool) -> list[Problem]:
    """Tails, loops, splits, activations, alignments, what is not finite, bad arguments."""

    def integer(d: int, h: int, batch: int, **options: object) -> Problem:
        return make("integer", kernel, d, h, batch, nm, bf16, **options)

    def normal(d: int, h: int, batch: int, activation: int, **options: object) -> Problem:
        return make("normal", kernel, d, h, batch, nm, bf16, activation=activation, **options)

    silu, gelu, relu = ACTIVATIONS
    problems = [
        integer(17, 331, 3),
        integer(40, 2600, 8, order="reverse"),
        integer(40, 1100, 9, order="random"),
        integer(147, 331, 2, sm_count=1, order="reverse"),
        integer(147, 1100, 9, sm_count=1, order="random"),
        integer(300, 70, 1, sm_count=2),
        integer(37, 1500, 9, split_k=3, launches=2, zero_bytes=16 if kernel in TILED else -1, order="random"),
        integer(21, 1500, 1, split_k=2, order="reverse", sm_count=1),
        integer(16, 4096, 2, sm_count=132, launches=2),
        integer(21, 1500, 8, split_k=3),
        integer(5, 136, 14, split_k=9, launches=2),
        normal(33, 71, 6, silu, y_offset=1),
        normal(20, 328, 8, gelu, x_offset=1),
        normal(20, 328, 8, silu, x_offset=2),
        normal(9, 1024, 16, silu),
        normal(4, 2056, 5, gelu, pad_columns=1, y_offset=3),
        normal(18, 64, 12, gelu, order="random"),
        normal(2, 1, 10, relu),
    ]
    problems += chosen_splits(kernel, nm, bf16)
    return problems + not_finite(kernel, nm, bf16) + alike(kernel, nm, bf16) + refused(kernel, nm, bf16)


def not_finite(kernel: str, nm: int, bf16: bool) -> list[Problem]:
    """Every activation, each kind of value, in weights and in x; and sums beyond the largest fp16."""
    problems = []
    for activation in ACTIVATIONS:
        for bad in (np.nan, np.inf, -np.inf):
            problem = make("normal", kernel, 18, 200, 4, nm, bf16, activation=activation)
            problem.w[2, 0] = problem.w[16, 199] = bad
            problem.x[1, 77] = bad
            if problem.w2 is not None:
                problem.w2[5, 3] = bad
            problems.append(problem)
        large = make("normal", kernel, 5, 40, 2, nm, False, activation=activation) if not bf16 else None
        if large is not None and kernel != STREAM:
            large.x *= 256.0
            large.w = np.round(large.w * 64.0)
            problems.append(large)
    return problems


def alike(kernel: str, nm: int, bf16: bool) -> list[Problem]:
    """Masks of all ones and of all zeros."""
    problems = []
    for value in (False, True) if nm else ():
        for activation in ACTIVATIONS:
            problem = make("normal", kernel, 17, 1100, 3, nm, bf16, activation=activation, split_k=1 + activation)
            problem.masks = np.full((nm, 17, 1100), value)
            problems.append(problem)
    return problems


def refused(kernel: str, nm: int, bf16: bool) -> list[Problem]:
    """Bad arguments, one at a time, and the last good ones beside them."""
    problems = []

    def one(status: int, fault: str = "", **overrides: int) -> None:
        problem = make("integer", kernel, 16, 16, 1, nm, bf16, fault=fault, status=status, overrides=overrides)
        problems.append(problem)

    for overrides in ({"h": 0}, {"d": 0}, {"batch": 0}, {"h": -1}, {"d": -4}):
        one(-2, **overrides)
    if nm:
        one(-3, nm=nm + 1)
    for stride in (8, 12, 20):
        one(-4, w_row_stride=stride)
    for activation in (-1, 3):
        one(-6, activation=activation)
    used = {"w", "y"} | ({"x"} if kernel != STREAM else set()) | ({"masks"} if nm else set())
    used |= ({"w2"} if kernel in (SWIGLU, ROUTED) else set()) | ({"workspace"} if kernel == PAPER else set())
    for fault in FAULTS[1:]:
        what = fault.split()[1] if fault.startswith("no ") else fault.split()[0]
        status = -8 if fault == "no workspace" else -1 if fault.startswith("no ") else -5
        if what in used:
            one(status, fault)
    seventeen = make("integer", kernel, 4, 16, 17, nm, bf16, status=-2)
    return [*problems, seventeen]


# Resident blocks of 4 warps that the split is chosen for, up to 8 tokens and beyond: kernels_cuda/README.md, "Bytes in
# flight". A part has at least 8 chunks of 64 columns, of flash_mglu_bulk one segment of 1024 or 512.
RESIDENT = {(MMA, 3): (4, 3), (MMA, 16): (2, 2), (BULK, 3): (2, 2), (BULK, 16): (2, 2), (SWIGLU, 0): (4, 3)}
RESIDENT |= {(ROUTED, 3): (4, 3), (ROUTED, 16): (2, 2)}


def chosen_splits(kernel: str, nm: int, bf16: bool) -> list[Problem]:
    """One tile or several, few multiprocessors or many: the workspace tells how often a tile is split."""
    if (kernel, nm) not in RESIDENT:
        return []
    problems = []
    h = 2112
    columns, parts_of = (64, 8) if kernel != BULK else (1024 if nm <= 4 else 512, 1)
    steps = -(-h // columns)
    shapes = ((16, 1, 1), (33, 8, 2), (16, 9, 1), (33, 9, 3), (80, 1, 2), (16, 1, 132), (147, 8, 2), (147, 9, 1))
    for d, batch, multiprocessors in shapes:
        tiles, wide = -(-d // 16), batch > 8
        slots = multiprocessors * RESIDENT[kernel, nm][wide]
        shared = tiles % slots  # those of a last wave that is not full
        most = range(1, steps // parts_of + 1)
        split = min(most, key=lambda s: -(-shared * s // slots) * (2 * -(-steps // s) + parts_of))
        partial = 512 * ((nm or 1) + 1) * shared * split * (1 + wide)
        asked = 16 * -(-shared // 4) + partial if split > 1 else 0
        options = {"sm_count": multiprocessors, "workspace": asked, "launches": 2}
        problems.append(make("integer", kernel, d, h, batch, nm, bf16, **options))
        problems[-1].x[:, 30:-9] = 0.0  # sums over many masks stay exact in few bits
    return problems


def many_masks(nm: int, bf16: bool) -> list[Problem]:
    """All mask words of a chunk, one and two token tiles, several tiles a block."""
    problems = [
        integer_problem(19, 331, 2, nm, bf16, seed=1),
        integer_problem(35, 331, 13, nm, bf16, seed=2, order="reverse"),
        integer_problem(18, 1100, 9, nm, bf16, seed=3, split_k=2, launches=2, order="random"),
        integer_problem(83, 264, 11, nm, bf16, seed=4, sm_count=1),
    ]
    problems += [random_problem(17, 200, 16, nm, bf16, seed=5 + a, activation=a, y_offset=a) for a in ACTIVATIONS]
    for problem in problems[:4]:  # sums over 16 masks stay exact in bf16's 8 bits
        if bf16:
            problem.x[:, 40:] = 0.0
    return problems


def macros(kernel: str) -> list[tuple[str, ...]]:
    """Values other than the defaults, so that every branch on them is taken."""
    return {
        BULK: [("MGLU_WARPS=1", "MGLU_RING=1"), ("MGLU_WARPS=16", "MGLU_RING=3", "MGLU_MIN_BLOCKS=1")],
        MMA: [("MGLU_WARPS=8", "MGLU_STAGES=1"), ("MGLU_WARPS=1", "MGLU_MIN_BLOCKS=5")],
        ROUTED: [("MGLU_WARPS=8", "MGLU_STAGES=1"), ("MGLU_WARPS=1", "MGLU_MIN_BLOCKS=5")],
        PACKED: [("MGLU_ROWS=1", "MGLU_WARPS=2")],
        PAPER: [("MGLU_WARPS=2", "MGLU_SPLIT_COLUMNS=64")],
        SWIGLU: [("MGLU_WARPS=8", "MGLU_STAGES=1"), ("MGLU_WARPS=1", "MGLU_MIN_BLOCKS=5")],
        STREAM: [("MGLU_UNROLL=2", "MGLU_WARPS=2")],
    }[kernel]


def tuned(kernel: str, nm: int, bf16: bool) -> list[Problem]:
    return [
        make("integer", kernel, 83, 331, 3, nm, bf16, sm_count=1, order="random"),
        make("integer", kernel, 21, 1100, 9, nm, bf16, split_k=2, launches=2),
        make("integer", kernel, 16, 2048, 1, nm, bf16, sm_count=132),
        make("normal", kernel, 18, 584, 2, nm, bf16, activation=1),
    ]


def refusals(kernel: str) -> Iterator[Stage]:
    """Builds of flash_mglu_bulk that must not run: for an old GPU, with rings too large, without its set-up."""
    if kernel != BULK:
        return
    problem = make("integer", kernel, 16, 64, 1, 1, False)
    for status, unprepared, defines in (
        (-7, -7, ("__CUDA_ARCH_LIST__=900,800",)),
        (-9, -9, ("MGLU_RING=8", "MGLU_SEGMENT=1024")),
        (-9, -9, ("__CUDA_ARCH_LIST__=1200", "MGLU_RING=3")),  # 112 KB, of 99
        (-9, 1, ("CUDA_EMU_SHARED_MOST=65536",)),  # 76 KB, of the device's 64
        (0, 1, ("__CUDA_ARCH_LIST__=900,1000",)),
    ):
        for prepare, answer in ((True, status), (False, unprepared)):
            tried = make("integer", kernel, 16, 64, 1, 1, False, prepare=prepare, status=answer)
            yield Stage(" ".join(defines), Library(kernel, defines=defines), [tried, problem][: 2 - (status != 0)])
    # Three blocks share a multiprocessor of 228 KB and split 5 tiles; one of 100 KB has room for one.
    for arch, asked in ((900, 32 + 2 * 512 * 3 * 5), (1210, 0)):
        split = make("integer", kernel, 80, 2112, 1, 1, False, sm_count=5, workspace=asked)
        yield Stage(f"blocks of {arch}", Library(kernel, defines=(f"__CUDA_ARCH_LIST__={arch}",)), [split])


def in_bounds(kernel: str, nm: int) -> list[Problem]:
    """Tails of every kind: the last vector, chunk and tile are partial, or nothing but a tail, or no tail at all."""
    tails = ((1, 1, 1), (17, 63, 9), (16, 128, 8), (19, 329, 2), (33, 1100, 3), (4, 2050, 16))
    varied = [
        make("normal", kernel, *shape, nm, False, order=ORDERS[i % 3], split_k=1 + i % 3, x_offset=i % 2, launches=2)
        for i, shape in enumerate(tails)
    ]
    return [*varied, make("normal", kernel, 83, 331, 2, nm, False, sm_count=1)]


def racing(nm: int) -> list[Problem]:
    """Several blocks per tile, several tiles per block, two token tiles; then blocks side by side."""
    return [
        integer_problem(17, 330, 1, nm, False, seed=1, split_k=2),
        integer_problem(48, 300, 1, nm, False, seed=2, sm_count=1, order="random"),
        integer_problem(9, 70, 9, nm, False, seed=3, order="reverse"),
        integer_problem(5, 300, 1, nm, False, seed=4, split_k=3, order="random", concurrent_blocks=True),
    ]
