"""Files of JSON lines that only grow, and the lock of the one process that may write to a folder."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from mglubench.errors import StoreError, UsageError

LOCK = ".lock"


class Lines:
    """A file of JSON lines that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._size = 0

    def open(self) -> None:
        """Open for appending, unless it is open; a torn last line is cut off with a warning."""
        if self._fd >= 0:
            return
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._size = _whole_lines(self._path)
            if self._size != os.fstat(self._fd).st_size:
                warnings.warn(
                    f"{self._path}: the last row was cut short and is dropped; it will be measured again", stacklevel=4
                )
                os.ftruncate(self._fd, self._size)
        except OSError as error:
            self.close()
            raise UsageError(f"cannot write to {self._path}: {reason_of(error)}") from None

    def append(self, row: dict[str, Any]) -> None:
        """Write one line and sync it; on failure the file is as it was before."""
        line = json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        try:
            _write_all(self._fd, line)
            os.fsync(self._fd)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise StoreError(
                f"cannot write a row to {self._path}: {reason_of(error)}; all finished rows are kept, "
                "make room and continue with --resume"
            ) from None
        self._size += len(line)

    def close(self) -> None:
        """Close, if open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """All rows of a file of JSON lines, under the rules of :func:`read_rows`; none where there is no file."""
    if not path.exists():
        return
    whole = _whole_lines(path)
    if whole != path.stat().st_size:
        warnings.warn(f"{path}: the last row was cut short and is left out", stacklevel=2)
    read = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            read += len(line)
            if read > whole:
                return
            try:
                row = orjson.loads(line)
            except ValueError as error:
                raise StoreError(f"{path}, line {number}: damaged row: {error}") from None
            if not (isinstance(row, dict) and {"key", "status"} <= row.keys()):
                raise StoreError(f"{path}, line {number}: damaged row: it has no key or no status")
            yield row


def take_lock(folder: Path) -> FileLock:
    """The lock of the one process that may write to a folder; raises :class:`StoreError` if another has it."""
    lock = FileLock(str(folder / LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            f"{folder} is being written by another process; wait for it, or choose another --out"
        ) from None
    return lock


def reason_of(error: OSError) -> str:
    """The system's own words for an error."""
    return error.strerror or str(error)


def _whole_lines(path: Path) -> int:
    """Bytes up to and including the last newline."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - (1 << 16))
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
