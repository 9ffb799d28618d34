"""The folder of an experiment: a header, a row per evaluation, and where the trial under way stands.

::

    RUN/run.json      header: which experiment, setting, arms, text, environment; published by a rename
    RUN/rows.jsonl    one evaluation per line, synced as it comes, never rewritten
    RUN/checkpoints/  arrays to go on from; those of finished trials are deleted, but for models that others start from
    RUN/.lock         held by the one process that may append
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mglubench.errors import StoreError, UsageError
from mglubench.experiments.corpus import CorpusRecord
from mglubench.experiments.setting import Setting
from mglubench.experiments.trial import Row, Trial
from mglubench.system.files import publish
from mglubench.system.lines import Lines, decoded, reason_of, take_lock
from mglubench.system.strict_json import strict_loads

HEADER, ROWS, CHECKPOINTS = "run.json", "rows.jsonl", "checkpoints"
SCHEMA = 1


class Header(msgspec.Struct, frozen=True):
    """What the rows of a run have in common.

    Attributes:
        experiment: ``ablation``, ``masks`` or ``convert``. environment: as it was at the start.
    """

    experiment: str
    setting: Setting
    arms: list[str]
    corpus: CorpusRecord
    environment: dict[str, object]
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


class Record:
    """A run under way: appends rows, knows which are there."""

    def __init__(self, folder: Path, header: Header, lines: Lines) -> None:
        self.folder, self.header, self._lines = folder, header, lines
        self.rows = {row.key: row for row in read_rows(folder)}

    def append(self, row: Row) -> None:
        """Write one row and sync it.

        Raises:
            StoreError: it could not be written; all earlier rows are kept.
        """
        self._lines.append(row.to_dict())
        self.rows[row.key] = row

    def checkpoint(self, trial: Trial) -> Path:
        """Where the trial's checkpoint is."""
        return self.folder / CHECKPOINTS / (re.sub(r"[^\w.=-]+", "_", trial.key) + ".npz")


@contextmanager
def open_record(folder: Path, header: Header, *, resume: bool) -> Iterator[Record]:
    """Start a run, or go on with one, and hold its lock.

    Raises:
        UsageError: the folder holds a run and ``resume`` is false, or another run; it cannot be written.
        StoreError: another process has it.
    """
    if resume:
        header = _the_same(folder, header)
    try:
        (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        lock = take_lock(folder)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {reason_of(error)}; choose another --out") from None
    lines = Lines(folder / ROWS)
    try:
        if not resume:
            if (folder / HEADER).exists():
                raise UsageError(f"{folder} holds a run already; continue it with --resume, or choose another --out")
            publish(folder / HEADER, json.dumps(header.to_dict(), indent=1) + "\n")
        lines.open()
        yield Record(folder, header, lines)
    finally:
        lines.close()
        lock.release()


def _the_same(folder: Path, header: Header) -> Header:
    """The stored header, if it is that of the same experiment."""
    stored = read_header(folder)
    for name in ("experiment", "setting", "arms", "corpus"):
        mine, theirs = (msgspec.to_builtins(getattr(each, name)) for each in (header, stored))
        if mine != theirs:
            told = f"{mine} here, {theirs} there"
            if isinstance(mine, dict) and isinstance(theirs, dict):
                unlike = [key for key in mine if mine[key] != theirs.get(key)]
                told = ", ".join(f"{key} is {mine[key]} here and {theirs.get(key)} there" for key in unlike)
            raise UsageError(f"{folder} holds another run; its {name} differs: {told}")
    return stored


def read_header(folder: Path) -> Header:
    """The header of an experiment.

    Raises:
        UsageError: there is none, or it is damaged or of a newer version.
    """
    path = folder / HEADER
    try:
        header = msgspec.convert(strict_loads(path.read_bytes()), Header)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} holds no experiment ({HEADER} is missing)") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no header of an experiment: {error}") from None
    if header.schema > SCHEMA:
        raise StoreError(f"{path} has schema {header.schema}, this mglubench reads up to {SCHEMA}; upgrade mglubench")
    return header


def read_rows(folder: Path) -> Iterator[Row]:
    """All rows, in the order of writing; a damaged or torn one is left out with a warning.

    Raises:
        StoreError: the file cannot be read.
    """
    return decoded(folder / ROWS, lambda line: Row.from_dict(strict_loads(line)))
