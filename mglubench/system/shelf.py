"""What processes of one run make once: arrays that one of them fills, the system seals, and all can only read.

An array lies in memory that has a descriptor and no name in any folder, so nothing is left behind however a run ends.
Sealed, it cannot be written by anybody any more, not even by whoever made it. The process that started the others keeps
the descriptors (:class:`Keeper`) and tells where they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Scalar = TypeVar("Scalar", bound=np.generic)

# From linux/fcntl.h: no other seals, no other size, no writing.
_ADD_SEALS, _GET_SEALS = 1033, 1034
_SEALED = 0x1 | 0x2 | 0x4 | 0x8
# Arrays that are kept at most: a process may not hold any number of descriptors.
MOST_ARRAYS = 256


class Shelf:
    """In a process that makes and uses arrays."""

    def __init__(self) -> None:
        self._there: Mapping[str, str] = {}
        self._made: dict[str, int] = {}

    def offer(self, there: Mapping[str, str]) -> None:
        """Where arrays of other processes are, by name; what was made here has been taken over by now."""
        self._there = there
        for descriptor in self._made.values():
            os.close(descriptor)
        self._made.clear()

    def made(self) -> dict[str, int]:
        """Descriptors of the arrays that were made here since the last offer, by name."""
        return dict(self._made)

    def array(self, name: str, make: Callable[[], npt.NDArray[Scalar]]) -> npt.NDArray[Scalar]:
        """The array of this name, which nobody can write: another process's, or else made here.

        Where the system has no such memory it is this process's own.
        """
        with contextlib.suppress(OSError, ValueError, LookupError):
            return _mapped(_own(self._made[name]) if name in self._made else self._there[name])
        array = make()
        with contextlib.suppress(OSError, AttributeError):
            self._made[name] = _sealed(name, array)
            return _mapped(_own(self._made[name]))
        array.flags.writeable = False
        return array


class Keeper:
    """In the process that started them: holds what they made, for those that come later.

    Args:
        room: bytes that it may hold; what came first goes first.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._held: dict[str, int] = {}

    def where(self) -> dict[str, str]:
        """Where arrays are, by name."""
        here = os.getpid()
        return {name: f"/proc/{here}/fd/{descriptor}" for name, descriptor in self._held.items()}

    def take(self, process: int, made: object) -> None:
        """Hold what a process says to have made, descriptors by name; what is no sealed memory is left alone."""
        for name, there in made.items() if isinstance(made, dict) else ():
            with contextlib.suppress(OSError, ValueError, TypeError):
                descriptor = os.open(f"/proc/{int(process)}/fd/{int(there)}", os.O_RDONLY | os.O_CLOEXEC)
                if name in self._held or not is_sealed(descriptor):
                    os.close(descriptor)
                else:
                    self._held[str(name)] = descriptor
        while len(self._held) > MOST_ARRAYS or sum(map(_bytes, self._held.values())) > self._room:
            os.close(self._held.pop(next(iter(self._held))))

    def close(self) -> None:
        """Let go of all of it."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


def is_sealed(descriptor: int) -> bool:
    """Whether nobody can write to this memory or change its size."""
    try:
        return fcntl.fcntl(descriptor, _GET_SEALS) & _SEALED == _SEALED
    except OSError:
        return False


def _own(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _bytes(descriptor: int) -> int:
    return os.fstat(descriptor).st_size


def _sealed(name: str, array: npt.NDArray[np.generic]) -> int:
    """A descriptor of sealed memory that holds the array as an .npy file."""
    import numpy as np

    descriptor = os.memfd_create(f"mglubench {name}"[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            np.save(file, array, allow_pickle=False)
        fcntl.fcntl(descriptor, _ADD_SEALS, _SEALED)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _mapped(path: str) -> npt.NDArray[Scalar]:
    """The array in sealed memory; raises :class:`OSError` if it is not sealed."""
    import numpy as np

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not is_sealed(descriptor):
            raise OSError(f"{path} is not sealed")
    finally:
        os.close(descriptor)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
