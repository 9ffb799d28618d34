"""A run is a folder: a header, and rows that are on disk as soon as they are measured.

::

    RUN/run.json     header: schema, sweep, environment, cases planned; published by an atomic rename
    RUN/rows.jsonl   one finished case per line, raw samples included; appended and synced, never rewritten
    RUN/counters.jsonl  what profilers said of cases, by case key, under the same rules; RUN/profiles/ has their reports
    RUN/worker.log   what the worker processes printed, if anything
    RUN/.lock        held by the one process that may append

A line that a kill or a full disk cut short is dropped with a warning when the folder is opened again.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from filelock import FileLock, Timeout

from mglubench.errors import StoreError, UsageError
from mglubench.spec.files import publish

SCHEMA = 1
HEADER = "run.json"
ROWS = "rows.jsonl"
COUNTERS = "counters.jsonl"
LOCK = ".lock"


class RunStore:
    """Appends rows to one run folder; use as a context manager, which holds the folder's lock."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self._lock = lock
        self._rows = Lines(folder / ROWS)
        self._counters = Lines(folder / COUNTERS)

    @classmethod
    def create(cls, folder: Path, header: dict[str, Any]) -> RunStore:
        """Start a run in ``folder``, which is made; an existing run there is an error.

        Raises:
            UsageError: the folder holds a run, or cannot be written.
            StoreError: another process is writing to it.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            store = cls(folder, take_lock(folder))
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {_why(error)}; choose another folder with --out") from None
        try:
            if (folder / HEADER).exists():
                raise UsageError(f"{folder} holds a run already; continue it with --resume, or choose another --out")
            publish(folder / HEADER, json.dumps({"schema": SCHEMA, **header}, indent=1))
        except OSError as error:
            store.close()
            raise UsageError(f"cannot write to {folder}: {_why(error)}; choose another folder with --out") from None
        except BaseException:
            store.close()
            raise
        store._open_rows()
        return store

    @classmethod
    def resume(cls, folder: Path) -> RunStore:
        """Open an existing run for appending; a torn last line is cut off with a warning.

        Raises:
            UsageError: no run there. StoreError: written by a newer version, or in use by another process.
        """
        read_header(folder)
        try:
            store = cls(folder, take_lock(folder))
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {_why(error)}") from None
        store._open_rows()
        return store

    def append(self, row: dict[str, Any]) -> None:
        """Write one row and sync it to the disk; on failure the file is as it was before.

        Raises:
            StoreError: the row could not be written (a full disk); all earlier rows remain readable.
        """
        self._rows.append(row)

    def append_counters(self, row: dict[str, Any]) -> None:
        """Write what a profiler said of one case, under the same rules; the file is made by the first such row.

        Raises:
            StoreError: as for :meth:`append`.
        """
        self._counters.open()
        self._counters.append(row)

    def close(self) -> None:
        """Give the folder back."""
        self._rows.close()
        self._counters.close()
        self._lock.release()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_rows(self) -> None:
        try:
            self._rows.open()
        except UsageError:
            self.close()
            raise


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
            raise UsageError(f"cannot write to {self._path}: {_why(error)}") from None

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
                f"cannot write a row to {self._path}: {_why(error)}; all finished rows are kept, "
                "make room and continue with --resume"
            ) from None
        self._size += len(line)

    def close(self) -> None:
        """Close, if open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_header(folder: Path) -> dict[str, Any]:
    """The header of a run.

    Raises:
        UsageError: there is no run. StoreError: the header is damaged or from a newer version.
    """
    path = folder / HEADER
    try:
        header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = int(header["schema"])
    except FileNotFoundError:
        raise UsageError(
            f"{folder} holds no run ({HEADER} is missing); `mglubench runs` lists what is stored"
        ) from None
    except NotADirectoryError:
        raise UsageError(f"{folder} is not a run folder") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from None
    if schema > SCHEMA:
        raise StoreError(f"{path} has schema {schema}, this mglubench reads up to {SCHEMA}; upgrade mglubench")
    return header


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows, in the order of writing; a torn last line is left out with a warning.

    Raises:
        StoreError: a line in the middle is damaged.
    """
    return read_lines(folder / ROWS)


def read_counters(folder: Path) -> Iterator[dict[str, Any]]:
    """All counter rows, in the order of writing, under the same rules; none where nothing was profiled."""
    return read_lines(folder / COUNTERS)


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


def list_runs(folder: Path) -> list[Path]:
    """Run folders directly inside ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        (entry.parent for entry in folder.glob(f"*/{HEADER}")), key=lambda run: (run / HEADER).stat().st_mtime
    )


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


def _why(error: OSError) -> str:
    return error.strerror or str(error)
