"""Memory that is filled once and can then only be read: a write ends the process, wherever it comes from."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# torch reads it at its first allocation (c10/core/impl/alloc_cpu.cpp): 1 asks for huge pages.
ASKS_FOR_HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"


class SealedMemory:
    """Room for one tensor, written until it is sealed.

    Args:
        count: elements. dtype: of the tensor.
    """

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        import torch

        self._bytes = max(1, count * dtype.itemsize)
        # Private and anonymous, as an allocator's own, and on the pages that torch asks for.
        self._map = mmap.mmap(-1, self._bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if os.environ.get(ASKS_FOR_HUGE_PAGES) == "1":
            with contextlib.suppress(OSError, AttributeError):
                self._map.madvise(mmap.MADV_HUGEPAGE)
        self.tensor = torch.frombuffer(self._map, dtype=dtype, count=count)

    def seal(self) -> torch.Tensor:
        """The tensor, whose memory no instruction of this process can write from now on."""
        libc = ctypes.CDLL(None, use_errno=True)
        whole = -(-self._bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        # Where the system refuses, the memory stays writable; a copy that nobody is given is still out of reach.
        libc.mprotect(ctypes.c_void_p(self.tensor.data_ptr()), ctypes.c_size_t(whole), 1)
        return self.tensor


def equal_bytes(one: int, two: int, count: int) -> bool:
    """Whether ``count`` bytes at two addresses are equal; as fast as memory is read."""
    compare = ctypes.CDLL(None).memcmp
    compare.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return bool(compare(one, two, count) == 0)
