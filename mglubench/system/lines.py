"""Files of JSON lines that only grow, and the lock of the one process that may write to a folder.

Whatever happened to such a file, its good lines can be read: a last line that a kill or a full disk cut short is left
out, and so is a damaged line in the middle, each with a warning that names file and line.
"""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from mglubench.errors import StoreError, UsageError
from mglubench.system.strict_json import strict_loads

T = TypeVar("T")

LOCK = ".lock"
# Errors of a folder in which no file can be made; any other one is of the lock itself.
_NO_FILE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE),
}
# Damaged lines of one file that are told of one by one.
TOLD = 5


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

    def append(self, row: Mapping[str, Any]) -> None:
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
    """All rows of a file of JSON lines that have a key and a status; none where there is no file."""
    return decoded(path, keyed_object)


def decoded(path: Path, decode: Callable[[bytes], T]) -> Iterator[T]:
    """What ``decode`` makes of every whole line.

    A line for which it raises ValueError (or finds itself too deep) is left out with a warning.

    Raises:
        StoreError: the file cannot be read.
    """
    damaged = 0
    for number, line in _numbered(path):
        try:
            yield decode(line)
        except (ValueError, RecursionError) as error:
            damaged += 1
            if damaged <= TOLD:
                why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                warnings.warn(f"{path}, line {number}: damaged row, left out: {why}", stacklevel=2)
    if damaged > TOLD:
        warnings.warn(f"{path}: {damaged - TOLD} more damaged rows are left out", stacklevel=2)


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines with their numbers."""
    try:
        whole = _whole_lines(path)
        if whole != path.stat().st_size:
            warnings.warn(f"{path}: the last row was cut short and is left out", stacklevel=4)
        read = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                read += len(line)
                if read > whole:
                    return
                yield number, line
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason_of(error)}") from None


def keyed_object(line: bytes) -> dict[str, Any]:
    """A line's object; raises ValueError if it is none, or has no key or no status."""
    row = strict_loads(line)
    if not (isinstance(row, dict) and {"key", "status"} <= row.keys()):
        raise ValueError("it has no key or no status")
    return row


def take_lock(folder: Path) -> FileLock:
    """The lock of the one process that may write to a folder.

    Raises:
        StoreError: another process has it. UsageError: the file system refuses locks. OSError: no file can be made.
    """
    lock = FileLock(str(folder / LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            f"{folder} is being written by another process; wait for it, or choose another --out"
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in _NO_FILE:
            raise
        with suppress(OSError):
            (folder / LOCK).unlink()
        why = reason_of(error) if isinstance(error, OSError) else "its file system has no locks"
        raise UsageError(f"{folder / LOCK} cannot be locked: {why}; choose another --out, on a local disk") from None
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
