"""How each CUDA kernel is launched: a remembered choice if there is one, else one small rule per kernel.

The kernels have defaults of their own (warps, register stages, the split along k from the number of multiprocessors).
A rule here only says where those do not fit a GPU or a shape; everything else is for ``mglubench tune`` to find.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from mglubench.kernels.occupancy import limits_of
from mglubench.kernels.tuning import Choice, Job, remembered

WARPS = 4  # MGLU_WARPS of every kernel


@dataclass(frozen=True, slots=True)
class Gpu:
    """What choices depend on: the name that tables use, ``sm_90a``, multiprocessors (0 if unknown)."""

    name: str
    arch: str
    sm_count: int


def choose(job: Job, gpu: Gpu) -> Choice:
    """The launch choice for ``job`` on ``gpu``."""
    choice = remembered(gpu.name, job)
    if choice is not None:
        return choice
    rule = {"flash_mglu_packed": _packed, "flash_mglu_bulk": _bulk}.get(job.kernel)
    return rule(job, gpu) if rule else Choice()


def _packed(job: Job, gpu: Gpu) -> Choice:
    """One row per warp where two would leave multiprocessors without a block."""
    blocks = job.d // (WARPS * 2)
    return Choice.of(ROWS=1) if job.nm <= 8 and blocks < gpu.sm_count else Choice()


def _bulk(job: Job, gpu: Gpu) -> Choice:
    """The kernel's own ring if it fits a block's shared memory, else shorter ones."""
    for choice in (Choice(), Choice.of(RING=2), Choice.of(RING=2, SEGMENT=64)):
        if fits(job.kernel, job.nm, choice, gpu.arch):
            return choice
    return Choice.of(RING=2, SEGMENT=64, WARPS=2)


def candidates(job: Job, gpu: Gpu) -> list[Choice]:
    """What a search tries, the rule's own choice first."""
    tiled = [
        *_grid((0, 1, 2), WARPS=(2, 4, 8), STAGES=(1, 2), L2_PREFETCH=(128, 256)),
        *_grid((0,), WARPS=(WARPS,), STAGES=(1, 2), MIN_BLOCKS=(3, 5, 6)),
    ]
    grids: dict[str, Iterable[Choice]] = {
        "flash_mglu_mma": tiled,
        "swiglu_fused": tiled,
        "flash_mglu_bulk": _grid((0, 1, 2), WARPS=(2, 4, 8), SEGMENT=(64, 128, 256), RING=(2, 3, 4)),
        "flash_mglu_packed": _grid((0,), WARPS=(2, 4, 8), ROWS=(1, 2), L2_PREFETCH=(128, 256)),
        "flash_mglu_paper": _grid((0, 1, 2, 4, 8), WARPS=(2, 4, 8)),
        "stream_read": _grid((0,), WARPS=(2, 4, 8), UNROLL=(4, 8, 16), L2_PREFETCH=(128, 256)),
    }
    wanted = [choice for choice in grids[job.kernel] if fits(job.kernel, job.nm, choice, gpu.arch)]
    return list(dict.fromkeys([choose(job, gpu), *wanted]))


def _grid(splits: Iterable[int], **macros: Iterable[int]) -> Iterable[Choice]:
    for values in itertools.product(*macros.values()):
        for split in splits:
            yield Choice.of(split, **dict(zip(macros, values, strict=True)))


def fits(kernel: str, nm: int, choice: Choice, arch: str) -> bool:
    """Whether a block of this choice gets its shared memory; 48 KB where a kernel does not opt in to more."""
    most = limits_of(arch).shared_bytes_per_block if kernel == "flash_mglu_bulk" else 48 * 1024
    return dynamic_shared_bytes(kernel, nm, choice) <= most


def dynamic_shared_bytes(kernel: str, nm: int, choice: Choice) -> int:
    """Dynamic shared memory of a block, as the kernel's source computes it."""
    warps = choice.get("WARPS", WARPS)
    if kernel == "swiglu_fused":
        return _reduction_bytes(warps, 2)
    if kernel == "flash_mglu_mma":
        return _reduction_bytes(warps, nm + 1)
    if kernel != "flash_mglu_bulk":
        return 0
    segment = choice.get("SEGMENT", 256 if nm <= 4 else 128)
    ring = choice.get("RING", 2 if nm <= 4 or nm == 16 else 3)
    stage = 16 * (segment * 2 + 64) + segment // 64 * 128 * nm
    return warps * ring * (stage + 8) + _reduction_bytes(warps, nm + 1)


def _reduction_bytes(warps: int, sums: int) -> int:
    """fp32 sums of every warp, [warps][sums][4][32 lanes]."""
    return 4 * warps * sums * 4 * 32
