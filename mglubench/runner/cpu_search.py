"""Trying the ways to make a CPU kernel, side by side.

One preparation of a layer is one set of addresses, and equal buffers differ by a third in what they give. So all
candidates read the same copies of one layer, in turns and in random order; a copy is not read again before the caches
have seen the others. What counts is the lower quartile: a neighbour on one of the cores makes some launches longer,
and never one shorter.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from statistics import quantiles
from typing import TYPE_CHECKING

from mglubench.hardware.cpu import MIB, last_level_cache
from mglubench.kernels.cpu_call import LAYOUT, CpuCall, glu_call, mglu_call
from mglubench.kernels.cpu_choice import CpuKernel
from mglubench.kernels.tuning import Choice, Found, Job
from mglubench.layer.masks import get_layout
from mglubench.system.collector import garbage_collection_off

if TYPE_CHECKING:
    import torch

# Copies of a layer: more than the caches hold, so many times over; at least and at most so many.
CACHES, LEAST_COPIES, MOST_COPIES = 2, 2, 8
LEAST_TURNS = 5
# Of candidates' results from the first one's, by norm: sums in another order.
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}
Layers = list[tuple["torch.Tensor", "torch.Tensor"]]


def search_on_cpu(
    kernel: CpuKernel, job: Job, choices: Sequence[Choice], seconds: float, finished: Callable[[Choice], None]
) -> list[Found]:
    """The time of every choice, in their order; infinite for one whose result is not that of the first.

    Args:
        seconds: of sampling per choice. finished: told of each choice when its kernel is compiled.
    """
    import torch

    layers = _layers(kernel, job)
    x = torch.randn(job.batch, layers[0][0].shape[1]).to(layers[0][0].dtype)
    y = torch.empty(job.batch, job.d, dtype=x.dtype)
    calls: dict[Choice, list[CpuCall]] = {}
    wrong, expected = set(), None
    for choice in choices:
        calls[choice] = [_call(kernel, job, choice, operands) for operands in layers]
        calls[choice][0](x, y)
        if expected is None:
            expected = y.double()
        elif torch.linalg.norm(y.double() - expected) > TOLERANCE[job.dtype] * torch.linalg.norm(expected):
            wrong.add(choice)
        finished(choice)
    right = {choice: made for choice, made in calls.items() if choice not in wrong}
    took = _in_turns(right, x, y, seconds * len(right))
    return [Found(choice, took.get(choice, math.inf)) for choice in choices]


def _in_turns(
    calls: dict[Choice, list[CpuCall]], x: torch.Tensor, y: torch.Tensor, seconds: float
) -> dict[Choice, float]:
    """Nanoseconds of each."""
    times: dict[Choice, list[int]] = {choice: [] for choice in calls}
    order, clock, turn = list(calls), time.perf_counter_ns, 0
    end = clock() + int(seconds * 1e9)
    with garbage_collection_off():
        while turn < LEAST_TURNS or clock() < end:
            random.shuffle(order)
            for place, choice in enumerate(order):
                made = calls[choice]
                call = made[(turn + place) % len(made)]
                start = clock()
                call(x, y)
                times[choice].append(clock() - start)
            turn += 1
    # The first turn wakes the threads.
    return {choice: quantiles(taken[1:])[0] for choice, taken in times.items()}


def _layers(kernel: CpuKernel, job: Job) -> Layers:
    """Copies of a layer: two matrices, or one and its packed masks, half of them set."""
    import torch

    first = (torch.randn(job.d, job.h) / job.h**0.5).to(getattr(torch, job.dtype))
    second = first.flip(0)
    if not kernel.gated:
        second = torch.randint(0, 256, (get_layout(LAYOUT).nbytes(job.nm, job.d, job.h),), dtype=torch.uint8)
    held = CACHES * (last_level_cache() or 32 * MIB)
    copies = min(MOST_COPIES, max(LEAST_COPIES, -(-held // (first.nbytes + second.nbytes)) + 1))
    return [(first, second), *((first.clone(), second.clone()) for _ in range(copies - 1))]


def _call(kernel: CpuKernel, job: Job, choice: Choice, operands: tuple[torch.Tensor, torch.Tensor]) -> CpuCall:
    shape = kernel.made(job, choice)
    if kernel.gated:
        return glu_call(*operands, "silu", shape)
    return mglu_call(*operands, job.nm, "silu", shape)
