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
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from itertools import chain
from pathlib import Path
from types import TracebackType

from filelock import FileLock

from mglubench.cases.sweep_spec import SweepSpec
from mglubench.errors import StoreError, UsageError
from mglubench.results.header import Header, checked_header
from mglubench.results.row_block import Block
from mglubench.results.row_reader import RowReader
from mglubench.results.rows import SCHEMA, CounterRow, Row
from mglubench.system.files import publish
from mglubench.system.lines import Lines, decoded, decoded_blocks, reason_of, take_lock
from mglubench.system.strict_json import strict_load, strict_loads

HEADER = "run.json"
ROWS = "rows.jsonl"
COUNTERS = "counters.jsonl"


class RunStore:
    """Appends rows to one run folder; use as a context manager, which holds the folder's lock."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self._lock = lock
        self._rows = Lines(folder / ROWS)
        self._counters = Lines(folder / COUNTERS)

    @classmethod
    def create(cls, folder: Path, header: Mapping[str, object]) -> RunStore:
        """Start a run in ``folder``, which is made; an existing run there is an error.

        Raises:
            UsageError: the folder holds a run, or cannot be written.
            StoreError: another process is writing to it.
        """
        was_there = True
        try:
            was_there = folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            store = cls(folder, take_lock(folder))
        except UsageError:
            if not was_there:
                with suppress(OSError):
                    folder.rmdir()
            raise
        except OSError as error:
            raise UsageError(
                f"cannot write to {folder}: {reason_of(error)}; choose another folder with --out"
            ) from None
        try:
            if (folder / HEADER).exists():
                raise UsageError(f"{folder} holds a run already; continue it with --resume, or choose another --out")
            publish(folder / HEADER, json.dumps({"schema": SCHEMA, **header}, indent=1))
        except OSError as error:
            store.close()
            raise UsageError(
                f"cannot write to {folder}: {reason_of(error)}; choose another folder with --out"
            ) from None
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
            raise UsageError(f"cannot write to {folder}: {reason_of(error)}") from None
        store._open_rows()
        return store

    def append(self, row: Row) -> None:
        """Write one row and sync it to the disk; on failure the file is as it was before.

        Raises:
            StoreError: the row could not be written (a full disk); all earlier rows remain readable.
        """
        self._rows.append(row.to_dict())

    def together(self) -> AbstractContextManager[None]:
        """Rows that are appended in here are synced when it ends, all at once.

        Raises:
            StoreError: they could not be; the file is as it was before them.
        """
        return self._rows.together()

    def append_counters(self, row: CounterRow) -> None:
        """Write what a profiler said of one case, under the same rules; the file is made by the first such row.

        Raises:
            StoreError: as for :meth:`append`.
        """
        self._counters.open()
        self._counters.append(row.to_dict())

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


def read_header(folder: Path) -> Header:
    """The header of a run.

    Raises:
        UsageError: there is no run. StoreError: the header is damaged or from a newer version.
    """
    path = folder / HEADER
    try:
        values = strict_load(path)
        if not isinstance(values, dict):
            raise StoreError(f"{path} cannot be read: it is no object, but {json.dumps(values)[:40]}")
        if isinstance(schema := values["schema"], int) and schema > SCHEMA:
            raise StoreError(f"{path} has schema {schema}, this mglubench reads up to {SCHEMA}; upgrade mglubench")
        return checked_header(values)
    except FileNotFoundError:
        raise UsageError(
            f"{folder} holds no run ({HEADER} is missing); `mglubench runs` lists what is stored"
        ) from None
    except NotADirectoryError:
        raise UsageError(f"{folder} is not a run folder") from None
    except KeyError as error:
        raise StoreError(f"{path} cannot be read: it has no {error}") from None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from None


def read_spec(folder: Path) -> SweepSpec:
    """The sweep of a run.

    Raises:
        UsageError: there is no run. StoreError: the header is damaged or from a newer version.
    """
    try:
        return SweepSpec.from_dict(read_header(folder)["sweep"])
    except UsageError as error:
        raise StoreError(f"{folder / HEADER} cannot be used: {error}") from None


def read_rows(folder: Path) -> Iterator[Row]:
    """All rows, in the order of writing.

    A torn last line is left out with a warning, and so is a damaged one; a resume measures what is left out again.

    Raises:
        StoreError: the file cannot be read.
    """
    return (row.whole() for row in chain.from_iterable(read_blocks(folder)))


def read_blocks(folder: Path) -> Iterator[Block]:
    """The same, many rows at a time."""
    reader = RowReader()
    for rows in decoded_blocks(folder / ROWS, reader.line, reader.block):
        yield rows if isinstance(rows, Block) else reader.together(rows)


def read_counters(folder: Path) -> Iterator[CounterRow]:
    """All counter rows, in the order of writing, under the same rules; none where nothing was profiled."""
    return decoded(folder / COUNTERS, lambda line: CounterRow.from_dict(strict_loads(line)))


def list_runs(folder: Path) -> list[Path]:
    """Run folders directly inside ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        (entry.parent for entry in folder.glob(f"*/{HEADER}")), key=lambda run: (run / HEADER).stat().st_mtime
    )
