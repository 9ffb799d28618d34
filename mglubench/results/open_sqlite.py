"""Open an SQLite file for reading alone: nothing is written, locked or made beside it, whatever its path is called."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mglubench.errors import UsageError

MAGIC = b"SQLite format 3\0"
WAIT_SECONDS = 1.0
CHECKED_BYTES = 64 << 20  # larger files are not searched for damage as a whole
_HEADER_BYTES = 100
_WRITE_AHEAD = 2  # bytes 18 and 19 of the header
_EXPORT = "export it again: nsys export --type sqlite REPORT.nsys-rep"


@contextmanager
def open_sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write.

    A file in write-ahead mode is read as it lies: opening it in the ordinary way makes two files beside it.

    Raises:
        UsageError: no SQLite file, an empty or damaged one, or one that another program is writing.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    _refuse(path, header, size)
    ahead = _WRITE_AHEAD in header[18:20]
    address = f"{path.resolve().as_uri()}?{'immutable=1' if ahead else 'mode=ro'}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "replace")
            database.execute("PRAGMA temp_store=MEMORY")
            database.execute("PRAGMA query_only=ON")
            if size <= CHECKED_BYTES:
                (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
                if said != "ok":
                    raise UsageError(f"{path} is damaged ({' '.join(str(said).split())[:100]}); {_EXPORT}")
            yield database
    except UnicodeDecodeError:
        raise UsageError(f"{path} is damaged (names that are no text); {_EXPORT}") from None
    except sqlite3.Error as error:
        raise UsageError(_why_not(path, error)) from None


def _refuse(path: Path, header: bytes, size: int) -> None:
    if not size:
        raise UsageError(f"{path} is empty, no SQLite export of Nsight Systems; {_EXPORT}")
    if not header.startswith(MAGIC):
        cut = " (cut short)" if MAGIC.startswith(header) else ""
        raise UsageError(f"{path} is no SQLite export of Nsight Systems: it is no SQLite file{cut}; {_EXPORT}")
    page = int.from_bytes(header[16:18], "big") or 1
    page = 65536 if page == 1 else page
    # The number of pages is valid if the last writer said so.
    pages = int.from_bytes(header[28:32], "big") if header[24:28] == header[92:96] else 0
    if size < _HEADER_BYTES or size < page * pages:
        raise UsageError(f"{path} was cut short: it says {page * pages:,} bytes and has {size:,}; copy or {_EXPORT}")
    for end, what in (("-wal", "changes that are not in it yet"), ("-journal", "a change that was not finished")):
        beside = Path(f"{path.resolve()}{end}")
        if beside.is_file() and beside.stat().st_size:
            raise UsageError(
                f"{beside} holds {what}: another program has {path.name} open or was killed; close it, or {_EXPORT}"
            )


def _why_not(path: Path, error: sqlite3.Error) -> str:
    said = " ".join(str(error).split())
    if "locked" in said or "busy" in said:
        return f"{path} is being written by another program ({said}): wait until nsys export has ended, then try again"
    if "malformed" in said or "corrupt" in said:
        return f"{path} is damaged ({said}); {_EXPORT}"
    return f"{path} is no SQLite export of Nsight Systems: {said}; {_EXPORT}"
