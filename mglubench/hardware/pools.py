"""Which pool of threads does the work of a variant on a CPU, in words for its row."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache


def pool_of(backend: str) -> str:
    """``Numba, omp`` or ``torch, OpenMP``; the bare backend where its pool is not known."""
    if backend == "numba":
        return _of_numba()
    return _of_torch() if backend == "torch" else backend


def _of_numba() -> str:
    """The threading layer is chosen at the first launch."""
    if "numba" not in sys.modules:
        return "Numba"
    from numba.np.ufunc import parallel

    chosen: Callable[[], str] = parallel.threading_layer
    try:
        return f"Numba, {chosen()}"
    except ValueError:
        return "Numba"


@cache
def _of_torch() -> str:
    import torch

    told = torch.__config__.parallel_info()
    line = next((line for line in told.splitlines() if line.startswith("ATen parallel backend")), "")
    return f"torch, {line.partition(':')[2].strip() or 'unknown'}"
