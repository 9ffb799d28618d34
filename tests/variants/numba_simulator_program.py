"""Run the Numba CUDA kernels in the simulator on small problems; prints the errors against float64 as JSON.

Started by test_numba_cuda.py as a process of its own, with NUMBA_ENABLE_CUDASIM=1.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numba_simulator
import numpy as np
import torch
from numba import cuda

from mglubench.cases.case import Case
from mglubench.kernels import numba_cuda_kernels as kernels
from mglubench.layer.input_set import InputSet
from mglubench.layer.masks import pack, round_up
from mglubench.variants.registry import get_variant
from tests.variants.judging import errors_of, spoil

USE = numba_simulator.PRIMITIVES


def bits(tensor: torch.Tensor) -> Any:
    return (tensor if tensor.dtype == torch.float32 else tensor.view(torch.int16)).contiguous().numpy()


def words(tensor: torch.Tensor, columns: int) -> Any:
    padded = torch.nn.functional.pad(tensor, (0, columns - tensor.shape[1])).contiguous()
    return padded.view(torch.int32).reshape(-1).numpy()


def byte_masks(inputs: InputSet, case: Case) -> Any:
    data = pack(inputs.masks(case.nm), "bytes").data
    return data.view(np.uint8 if case.nm <= 8 else np.int16).reshape(case.d, case.h)


def naive(case: Case, inputs: InputSet, y: torch.Tensor) -> None:
    kernel = cuda.jit(kernels.naive(special(case), USE))
    grid = (-(-case.d // kernels.THREADS), case.batch)
    kernel[grid, kernels.THREADS](bits(inputs.weight), byte_masks(inputs, case), bits(inputs.x(0)), bits(y))


def splitk(case: Case, inputs: InputSet, y: torch.Tensor) -> None:
    sums = cuda.jit(kernels.splitk_sums(special(case), USE))
    activate = cuda.jit(kernels.splitk_activate(special(case), USE))
    partial = np.zeros((case.batch, 2 * case.nm, case.d), np.float32)
    columns = 40
    grid = (-(-case.d // kernels.WARPS), -(-case.h // columns), case.batch)
    w, x = bits(inputs.weight), bits(inputs.x(0))
    for _ in range(2):
        sums[grid, kernels.THREADS](w, byte_masks(inputs, case), x, partial, columns)
        activate[(-(-case.d // kernels.THREADS), case.batch), kernels.THREADS](partial, bits(y))
    assert not partial.any(), "the partial sums are not zeroed for the next launch"


def packed(case: Case, inputs: InputSet, y: torch.Tensor) -> None:
    kernel = cuda.jit(kernels.packed(special(case), USE))
    columns = round_up(case.h, kernels.CHUNK)
    masks = pack(inputs.masks(case.nm), "row-1024").data.view(np.int32)
    grid = (-(-case.d // kernels.WARPS), case.batch)
    w, x = words(inputs.weight, columns), words(inputs.x(0), columns)
    kernel[grid, kernels.THREADS](w, masks, x, bits(y), case.h)


def special(case: Case) -> kernels.Special:
    return kernels.Special(case.nm, case.dtype, case.activation)


RUNNERS = {"naive": naive, "splitk": splitk, "packed": packed}


def main() -> None:
    errors = {}
    for values, bad in json.loads(sys.argv[1]):
        case = Case.from_dict(values)
        inputs = InputSet(case)
        spoil(inputs, bad)
        y = torch.full((case.batch, case.d), float("nan"), dtype=inputs.dtype)
        # Blocks of two warps are enough to tell warps apart, with half the Python threads; of one, where rows are many.
        kernels.THREADS, kernels.WARPS = (32, 1) if case.d > 30 else (64, 2)
        RUNNERS[case.variant](case, inputs, y)
        errors[case.key + bad] = errors_of(case, inputs, y, get_variant(f"mglu-numba-{case.variant}").method)
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
