"""What a variant offers so that ``mglubench inspect`` can look into its compiled kernels without a GPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mglubench.kernels.sass import Work


@dataclass(frozen=True, slots=True)
class Block:
    """Threads and dynamic shared memory (bytes) of a block."""

    threads: int
    shared_bytes: int


class Inspectable(ABC):
    """A variant whose machine code can be made for any architecture on any machine.

    Attributes:
        entry: name of the kernel that does the work for one token.
        oldest: ten times the least compute capability that it can be compiled for.
    """

    entry: ClassVar[str]
    oldest: ClassVar[int] = 80

    @abstractmethod
    def artifact(self, arch: str, nm: int, dtype: str) -> Path:
        """A cubin or library for ``arch``.

        Raises:
            MglubenchError: what is missing or failed, in one line.
        """

    @abstractmethod
    def work(self, nm: int) -> Work:
        """The instructions of the main loop that touch weights."""

    @abstractmethod
    def block(self, arch: str, nm: int) -> Block:
        """Size of a block of the launch that :meth:`artifact` is compiled for."""
