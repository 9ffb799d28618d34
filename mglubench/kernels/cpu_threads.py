"""How many threads the CPU kernels use: Numba's, but no more than the user or the system grants."""

from __future__ import annotations

from functools import cache

from mglubench.system.limits import threads_wanted


def threads_used() -> int:
    """Threads of a launch: those of Numba's pool, fewer by OMP_NUM_THREADS or a quota, of which Numba does not know."""
    import numba

    return min(int(numba.get_num_threads()), _granted())


@cache
def _granted() -> int:
    return threads_wanted()
