"""Numba's CUDA simulator, completed: warp shuffles, kernels made in factories, and twins of the LLVM primitives.

Import in a process that was started with NUMBA_ENABLE_CUDASIM=1. A block's threads are Python threads; a shuffle is an
exchange that the whole block takes part in, so kernels must call shuffles in uniform control flow.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import numba
import numpy as np
from numba import cuda
from numba.cuda.simulator import kernel as simulator

from mglubench.kernels.numba_cuda_ir import Primitives

# Threads that wait at a barrier spin; short turns let the others reach it.
sys.setswitchinterval(1e-4)


class CudaModule:
    """``numba.cuda`` whose names mean the running kernel's while one runs.

    The simulator swaps ``cuda`` in a kernel's globals only; factories hold it in a closure.
    """

    def __getattr__(self, name: str) -> Any:
        running = simulator._get_kernel_context() if simulator._kernel_context is not None else None
        return getattr(running if running is not None and hasattr(running, name) else cuda, name)


numba.cuda = CudaModule()


def shuffle(value: Any, distance: int) -> Any:
    """The value of the lane ``distance`` above in the warp; the own value beyond the warp's end."""
    thread: Any = threading.current_thread()
    board = thread._manager.__dict__.setdefault("shuffled", {})
    board[thread.thread_id] = value
    thread.syncthreads()
    lane = thread.thread_id % 32
    taken = board[thread.thread_id + distance] if lane + distance < 32 else value
    thread.syncthreads()
    return taken


def load4(array: Any, index: int) -> tuple[Any, ...]:
    """Four int32 from a 16-byte aligned place."""
    assert index % 4 == 0, "a 16-byte load must be aligned"
    assert 0 <= index <= array.shape[0] - 4, "a load beyond the end of the array"
    return tuple(np.int32(array[int(index) + lane]) for lane in range(4))


def half_to_float(bits: Any) -> Any:
    return np.float32(np.int16(bits).view(np.float16))


def float_to_half(value: Any) -> Any:
    return np.float16(value).view(np.int16)


def bits_to_float(bits: Any) -> Any:
    return np.int32(bits).view(np.float32)


def float_to_bits(value: Any) -> Any:
    return np.float32(value).view(np.int32)


PRIMITIVES = Primitives(load4, half_to_float, float_to_half, bits_to_float, float_to_bits, shuffle)
