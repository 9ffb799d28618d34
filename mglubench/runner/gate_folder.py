"""The folder of a gate: what it asks, what it suspects, its runs; an interrupted gate goes on there.

::

    OUT/gate.json           what is held against what, and which cases are suspected; published by a rename
    OUT/new/01, 02, ...     runs of the whole sweep
    OUT/again/base/01, ...  the suspects again by the baseline's code, where it is at hand, in turns with
    OUT/again/new/01, ...   the suspects again by this code
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from filelock import FileLock

from mglubench.errors import StoreError, UsageError
from mglubench.results.store import HEADER, ROWS
from mglubench.system.files import publish
from mglubench.system.lines import reason_of, take_lock
from mglubench.system.strict_json import strict_load

GATE = "gate.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecord:
    """What ``gate.json`` says.

    Attributes:
        baseline: digests of its runs, so that it is known again. times: runs a side. other: the baseline's code, as a
            commit or a Python; empty where it is not at hand. suspects: keys of cases, once they are known.
    """

    baseline: tuple[str, ...]
    times: int
    other: str = ""
    suspects: tuple[str, ...] | None = None
    format: int = FORMAT


@dataclass
class GateFolder:
    """A gate's folder and its record; use as a context manager, which gives the folder's lock back."""

    folder: Path
    record: GateRecord
    _lock: FileLock | None = None

    def run(self, *parts: str) -> Path:
        """Folder of a run, or of runs."""
        return self.folder.joinpath(*parts)

    def check(self) -> None:
        """Take up what an interrupted gate found.

        Raises:
            UsageError: the folder holds something else, or another gate. StoreError: its record is damaged.
        """
        path = self.folder / GATE
        try:
            stored = msgspec.convert(strict_load(path), GateRecord)
        except FileNotFoundError:
            if self.folder.exists() and (not self.folder.is_dir() or any(_visible(self.folder))):
                raise UsageError(f"{self.folder} holds something else than a gate; choose another --out") from None
            return
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {reason_of(error)}; choose another --out") from None
        except ValueError as error:
            raise StoreError(f"{path} cannot be read: {error}; choose another --out") from None
        asked = ("format", "baseline", "times", "other")
        different = [name for name in asked if getattr(stored, name) != getattr(self.record, name)]
        if different:
            words = ", ".join(different)
            raise UsageError(f"{self.folder} holds another gate; it differs in {words}; choose another --out")
        self.record = stored

    def begin(self) -> None:
        """Make the folder, take its lock and write the record, unless that is done.

        Raises:
            UsageError: it cannot be written. StoreError: another process has it.
        """
        if self._lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(self.folder)
        except OSError as error:
            raise UsageError(f"cannot write to {self.folder}: {reason_of(error)}; choose another --out") from None
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    def _write(self) -> None:
        try:
            publish(self.folder / GATE, json.dumps(asdict(self.record), indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"cannot write to {self.folder}: {reason_of(error)}; choose another --out") from None

    def suspect(self, keys: Sequence[str]) -> None:
        """Remember the suspects: who goes on with this gate measures the same again."""
        self.record = replace(self.record, suspects=tuple(keys))
        self._write()


def digest_of(run: Path) -> str:
    """What a run is known by: its header and its rows.

    Raises:
        StoreError: they cannot be read.
    """
    content = hashlib.sha256()
    try:
        for name in (HEADER, ROWS):
            content.update((run / name).read_bytes() + b"\0")
    except OSError as error:
        raise StoreError(f"{run} cannot be read: {reason_of(error)}") from None
    return content.hexdigest()[:16]


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
