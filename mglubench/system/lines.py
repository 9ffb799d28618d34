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
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from mglubench.errors import StoreError, UsageError
from mglubench.system.files import open_file
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
# Bytes of a file that are read at once: what their rows take fits a cache.
BLOCK = 1 << 18


class Lines:
    """A file of JSON lines that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._size = 0
        self._later = False

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
        with self._whole_or_not():
            _write_all(self._fd, line)
            if not self._later:
                os.fsync(self._fd)
            self._size += len(line)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Lines that are appended in here are synced when it ends, all at once."""
        size, self._later = self._size, True
        try:
            yield
        finally:
            self._later = False
            if self._size != size:
                written, self._size = self._size, size
                with self._whole_or_not():
                    os.fsync(self._fd)
                    self._size = written

    @contextmanager
    def _whole_or_not(self) -> Iterator[None]:
        """Cut off what was written in here if it fails."""
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise StoreError(
                f"cannot write a row to {self._path}: {reason_of(error)}; all finished rows are kept, "
                "make room and continue with --resume"
            ) from None

    def close(self) -> None:
        """Close, if open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def decoded(path: Path, decode: Callable[[bytes], T]) -> Iterator[T]:
    """What ``decode`` makes of every whole line.

    A line for which it raises ValueError (or finds itself too deep) is left out with a warning.

    Raises:
        StoreError: the file cannot be read.
    """
    return chain.from_iterable(decoded_blocks(path, decode))


def decoded_blocks(
    path: Path, decode: Callable[[bytes], T], together: Callable[[bytes], list[T] | None] = lambda lines: None
) -> Iterator[list[T]]:
    """The same, many lines at a time.

    Args:
        together: what becomes of some whole lines; ``None`` where ``decode`` must look at them one by one.
    """
    damages = _Damages(path)
    number = 0
    for block in _blocks(path):
        found = together(block)
        if found is not None:
            number += len(found)
            yield found
            continue
        lines = block.split(b"\n")[:-1]
        yield [row for at, line in enumerate(lines, number + 1) for row in damages.survivor(at, line, decode)]
        number += len(lines)
    damages.close()


class _Damages:
    """Tells of the damaged lines of a file, of the first few one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    def survivor(self, number: int, line: bytes, decode: Callable[[bytes], T]) -> Iterator[T]:
        """What ``decode`` makes of a line; nothing if it is damaged."""
        try:
            yield decode(line)
        except (ValueError, RecursionError) as error:
            self._count += 1
            if self._count <= TOLD:
                why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                warnings.warn(f"{self._path}, line {number}: damaged row, left out: {why}", stacklevel=4)

    def close(self) -> None:
        """All lines were read."""
        if self._count > TOLD:
            warnings.warn(f"{self._path}: {self._count - TOLD} more damaged rows are left out", stacklevel=3)


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, some megabytes of them at a time."""
    try:
        left = _whole_lines(path)
        if left != path.stat().st_size:
            warnings.warn(f"{path}: the last row was cut short and is left out", stacklevel=4)
        with open_file(path) as file:
            begun = [b""]
            while left and (data := file.read(min(left, BLOCK))):
                left -= len(data)
                if end := data.rfind(b"\n") + 1:
                    yield b"".join((*begun, memoryview(data)[:end]))
                    begun = [data[end:]]
                else:
                    begun.append(data)
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
    with open_file(path) as file:
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
