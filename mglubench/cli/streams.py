"""Standard streams that are closed, full, or whose reader has left."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any


class _LostWords(io.FileIO):
    """A descriptor whose failures are nobody's concern: messages that cannot be told must not end the work."""

    def write(self, data: Any) -> int:
        view = memoryview(data)
        with suppress(OSError):
            return super().write(view)
        return view.nbytes


def settle() -> None:
    """Make sure that the three standard descriptors are open, and that writing messages never fails.

    A descriptor that the caller closed goes nowhere; left free, the next file to be opened would get its number, and
    with it all that C libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is what open gives.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the length of the process, of a descriptor
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal's encoding lacks is shown by its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    # A test's or a notebook's stream is left alone.
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        raw = _LostWords(2, "w", closefd=False)
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


def drop_output() -> None:
    """Let the flush at exit go nowhere: standard output is closed, or full."""
    # A stream without a descriptor (a test's, a notebook's) has nothing to flush to a full disk.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
