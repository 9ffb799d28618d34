"""Planted bugs must be found: each is a textual change of a kernel source that the checks have to reject."""

from __future__ import annotations

import pytest
from kernel_emulator import EmulationError, Library, Problem, skip_reason
from problems import ORDERS, check, integer_problem

pytestmark = pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason()))


def _problems(nm: int, **options: object) -> list[Problem]:
    shapes = ((17, 331, 3), (40, 4300, 8), (40, 1100, 9))
    return [integer_problem(*s, nm, False, seed=i, order=ORDERS[i], **options) for i, s in enumerate(shapes)]


MMA, BULK, PACKED, PAPER = "flash_mglu_mma", "flash_mglu_bulk", "flash_mglu_packed", "flash_mglu_paper"

# bug: (kernel, file, text, replacement)
QUARTER = "kChunk + u * 256;\n            const int count"
WRONG_ARITHMETIC = {
    "mask bit of another register": (MMA, "mma_tile.cuh", "mask[i] << (15 - (half", "mask[i] << (14 ^ (half"),
    "sign bit of the even element only": (MMA, "mma_tile.cuh", "kSigns = 0x80008000u", "kSigns = 0x00008000u"),
    "rows g and g + 8 swapped": (MMA, "mma_tile.cuh", "r[0], r[4], r[1], r[5]", "r[4], r[0], r[5], r[1]"),
    "k-steps of x swapped": (MMA, "mma_tile.cuh", "x[n][half].z, x[n][half].w", "x[n][half].w, x[n][half].z"),
    "output row of the lower half": (MMA, "mma_tile.cuh", "8 * (q / 2), token_tile", "8 * (q % 2), token_tile"),
    "gate and value swapped": (MMA, "mma_tile.cuh", "gate = 0.5f * (t - u)", "gate = 0.5f * (t + u)"),
    "tail one element short": (
        MMA,
        "mma_tile.cuh",
        "columns - half * 32 - lane % 4 * 8);",
        "columns - half * 32 - lane % 4 * 8 - 1);",
    ),
    "tail of w not blanked": (MMA, "mma_tile.cuh", "= keep_first(v, count);", "= v;"),
    "one chunk dropped": (MMA, "mma_tile.cuh", "- first + kWarps - 1) / kWarps", "- first + kWarps - 2) / kWarps"),
    "tail taken by every warp": (MMA, "mma_tile.cuh", "next == whole_chunks && next < end", "next > 0"),
    "last register stage dropped": (MMA, "mma_tile.cuh", "begin();\n            use(b);", "begin();"),
    "x of the wrong token": (MMA, "mma_tile.cuh", "min(n * 8 + group, batch - 1)", "max(n * 8 + group - 1, 0)"),
    "bit of the next element": (PACKED, "flash_mglu_packed.cu", ">> (8 * u + e) & 1", ">> (8 * u + (e ^ 1)) & 1"),
    "vector of the next quarter": (PACKED, "flash_mglu_packed.cu", QUARTER, QUARTER.replace("u *", "(u ^ 1) *")),
    "value and gate swapped": (PAPER, "flash_mglu_paper.cu", "bits >> i & 1", "~bits >> i & 1"),
    "mask of the wrong neighbour": (PAPER, "flash_mglu_paper.cu", "__ldg(masks + k + 1)", "__ldg(masks + (k ^ 2) + 1)"),
    "value not what the gate leaves": (PAPER, "flash_mglu_paper.cu", "total - gate);", "total);"),
    "sums of one warp only": (PAPER, "flash_mglu_paper.cu", "i < kWarps; i++", "i < 1; i++"),
}

FAST_WAIT = "* kChunk);\n                    ptx::mbarrier_wait_parity(&bars[stage], parity);"
RING_STAGE = "const from = shared + stage * kStageBytes;"
REFILL = "__syncthreads();\n            if (ahead.more(p)) {"
STORED_SUMS = "sums[i][n][q];\n        }\n"
BROKEN_SYNCHRONISATION = {
    "sums read before all are stored": (MMA, "mma_tile.cuh", STORED_SUMS + "        __syncthreads();", STORED_SUMS),
    "sums overwritten too early": (MMA, "mma_tile.cuh", "if (n > 0) __syncthreads();", ""),
    "sums of warps read too early": (PAPER, "flash_mglu_paper.cu", "__syncthreads();", ""),
    "barrier for half of the warps": (MMA, "mma_tile.cuh", "if (n > 0) __sync", "if (warp < 2) __sync"),
    "no wait for the copies": (BULK, "flash_mglu_bulk.cu", FAST_WAIT, "* kChunk);"),
    "parity never flips": (BULK, "flash_mglu_bulk.cu", "parity ^= 1;", ""),
    "wrong stage read": (
        BULK,
        "flash_mglu_bulk.cu",
        RING_STAGE,
        RING_STAGE.replace("stage *", "(stage + 1) % kRing *"),
    ),
    "fewer bytes announced than copied": (BULK, "flash_mglu_bulk.cu", "row_bytes + own_mask_bytes", "row_bytes"),
    "more bytes announced than copied": (BULK, "flash_mglu_bulk.cu", "+ own_mask_bytes);", "+ own_mask_bytes + 16);"),
    "mbarrier completed by one warp": (
        BULK,
        "flash_mglu_bulk.cu",
        "mbarrier_init(&bars[s], kWarps)",
        "mbarrier_init(&bars[s], 1)",
    ),
    "part without its own segments": (BULK, "flash_mglu_bulk.cu", "part.index * p.grid.units_per_part", "0"),
    "rows of another warp": (BULK, "flash_mglu_bulk.cu", "lane * kWarps + warp;", "lane * kWarps;"),
    "work done twice": (
        BULK,
        "flash_mglu_bulk.cu",
        "work += gridDim.x;\n        if",
        "work += gridDim.x + 1;\n        if",
    ),
    "mbarriers not initialised": (BULK, "flash_mglu_bulk.cu", "s < kRing; s++) ptx", "s < 1; s++) ptx"),
}


def _reject(kernel: str, patch: tuple[str, str, str], sanitizer: str = "", **options: object) -> None:
    nm = 1 if sanitizer else 2  # one mask compiles faster
    library = Library(kernel, nm, sanitizer=sanitizer, patch=patch)
    with pytest.raises(AssertionError) as caught:
        check(library, _problems(nm, **options))
    assert "g++ failed" not in str(caught.value)
    assert "holds" not in str(caught.value).split("\n")[0], "the text to change is gone"


@pytest.mark.parametrize("bug", WRONG_ARITHMETIC)
def test_wrong_arithmetic_is_found(bug: str) -> None:
    kernel, *patch = WRONG_ARITHMETIC[bug]
    _reject(kernel, (patch[0], patch[1], patch[2]))


@pytest.mark.parametrize("bug", BROKEN_SYNCHRONISATION)
def test_broken_synchronisation_is_found(bug: str) -> None:
    kernel, *patch = BROKEN_SYNCHRONISATION[bug]
    _reject(kernel, (patch[0], patch[1], patch[2]), sm_count=1 if kernel == BULK else 0)


BROKEN_SPLIT = {
    "sums left for the next launch": (PAPER, "flash_mglu_paper.cu", "*value = 0.0f;", ""),
    "counter not cleared": (MMA, "mma_tile.cuh", "if (threadIdx.x == 0) *counter = 0;", ""),
    "finished by the last block but one": (
        MMA,
        "mma_tile.cuh",
        "static_cast<uint32_t>(split - 1)",
        "static_cast<uint32_t>(split - 2)",
    ),
    "partial sums of one block": (MMA, "mma_tile.cuh", "partial_at(s, n, i, q));", "partial_at(0, n, i, q));"),
}


@pytest.mark.parametrize("bug", BROKEN_SPLIT)
def test_broken_split_is_found(bug: str) -> None:
    kernel, *patch = BROKEN_SPLIT[bug]
    _reject(kernel, (patch[0], patch[1], patch[2]), split_k=3, launches=2)


@pytest.mark.skipif(skip_reason("asan") is not None, reason=str(skip_reason("asan")))
@pytest.mark.parametrize(
    ("kernel", "patch"),
    [
        (
            MMA,
            ("mma_tile.cuh", "min(tile * kTileRows + rows * 8 + group, d - 1)", "tile * kTileRows + rows * 8 + group"),
        ),
        (MMA, ("mma_tile.cuh", "if (count > 0) v =", "v =")),
        (MMA, ("host.cuh", "(a.h % 8 == 0 || a.batch == 1)", "true")),
        (
            BULK,
            (
                "flash_mglu_bulk.cu",
                "min(at.tile * kTileRows + row_of_tile, p.d - 1)",
                "at.tile * kTileRows + row_of_tile",
            ),
        ),
        (PACKED, ("flash_mglu_packed.cu", "if (count > 0) wv[r][u] =", "wv[r][u] =")),
        (PAPER, ("flash_mglu_paper.cu", "min(begin + p.columns_per_block, p.h)", "begin + p.columns_per_block")),
    ],
)
def test_reads_out_of_bounds_are_found(kernel: str, patch: tuple[str, str, str]) -> None:
    _reject(kernel, patch, sanitizer="asan")


def test_an_access_off_its_alignment_is_found_without_a_sanitizer() -> None:
    library = Library(PAPER, 2, patch=("flash_mglu_paper.cu", "aligned(a.x, 4)", "aligned(a.y, 4)"))
    with pytest.raises(EmulationError, match="exit status -"):
        check(library, [integer_problem(20, 328, 2, 2, False, seed=1, x_offset=1)])


RACES = {
    "counter without ordering": (MMA, "ptx_twins.h", "__ATOMIC_ACQ_REL", "__ATOMIC_RELAXED"),
    "plain addition instead of an atomic": (
        PAPER,
        "ptx_twins.h",
        "float old, next;",
        "*p += v;\n    return;\n    float old, next;",
    ),
    "stage refilled while it is read": (BULK, "flash_mglu_bulk.cu", REFILL, REFILL.replace("__syncthreads();", "")),
}


@pytest.mark.skipif(skip_reason("tsan") is not None, reason=str(skip_reason("tsan")))
@pytest.mark.parametrize("bug", RACES)
def test_races_are_found(bug: str) -> None:
    kernel, *patch = RACES[bug]
    library = Library(kernel, 1, sanitizer="tsan", patch=(patch[0], patch[1], patch[2]))
    if kernel == BULK:  # several tiles per block
        problem = integer_problem(64, 2600, 1, 1, False, seed=1, sm_count=1)
    else:  # several blocks per tile
        problem = integer_problem(9, 300, 1, 1, False, seed=1, split_k=3, concurrent_blocks=True)
    with pytest.raises(AssertionError, match="data race"):
        check(library, [problem])
