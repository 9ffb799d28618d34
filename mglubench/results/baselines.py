"""Baselines: runs under a name, in plain folders that fit into git or into an artefact store.

::

    BASELINES/NAME/baseline.json   the manifest: format, name, when it was saved, the commit, its runs
    BASELINES/NAME/01-5f0c2a91/    a run: run.json with its environment, rows.jsonl with every sample, counters.jsonl

BASELINES is the folder ``baselines`` here, or the one that MGLUBENCH_BASELINES names. The manifest is published last,
by a rename: a baseline is there whole or not at all, and what it does not name is no part of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from mglubench.cases.vocabulary import near
from mglubench.errors import MglubenchError, StoreError, UsageError
from mglubench.results.runs import numbered_runs
from mglubench.results.store import HEADER, list_runs
from mglubench.system.lines import reason_of
from mglubench.system.plain_text import plain
from mglubench.system.resources import RUNS_FOLDER
from mglubench.system.strict_json import strict_load

MANIFEST = "baseline.json"
FORMAT = 1
# The word for the newest run.
LAST = "last"
FOLDER_VARIABLE = "MGLUBENCH_BASELINES"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@=-]{0,99}")

Count = Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """One run of a baseline.

    Attributes:
        folder: its name inside the baseline. time: when it began, UTC. commit: of the checkout that measured, empty if
            unknown; ``+`` at its end where files were changed. devices: their names. rows: finished cases.
        planned: cases of its sweep. fake: whether it was never measured.
    """

    folder: str
    time: str
    commit: str = ""
    devices: tuple[str, ...] = ()
    rows: Count = 0
    planned: Count = 0
    fake: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What ``baseline.json`` says.

    Attributes:
        saved: when, UTC. commit: what the runs measured, in the words of whoever saved it, else their checkout's.
        runs: oldest first.
    """

    format: int
    name: str
    saved: str
    runs: tuple[BaselineRun, ...]
    commit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline on the disk."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """What it is asked for by."""
        return self.folder.name

    @property
    def time(self) -> str:
        """When its first run began, UTC."""
        return min(run.time for run in self.manifest.runs)

    @property
    def runs(self) -> list[Path]:
        """Its run folders."""
        return [self.folder / run.folder for run in self.manifest.runs]


def baselines_folder() -> Path:
    """Where baselines are kept: MGLUBENCH_BASELINES, else ``baselines`` below the working directory."""
    return Path(os.environ.get(FOLDER_VARIABLE) or "baselines")


def runs_of(given: str, where: Path | None = None) -> list[Path]:
    """The run folders that a word of a user stands for.

    Args:
        given: the name of a baseline, or the path of a run, of a baseline, or of a folder of repeats, or ``last``, the
            newest below ``runs``; several of them joined by commas. A name comes before a path: ``./main`` is the
            folder even where a baseline is called so.
        where: folder of the baselines.

    Raises:
        UsageError: there is nothing of that name, or it is no run; the message names what is near.
        StoreError: a baseline's manifest is damaged or of a newer version, or a run that it names is gone.
    """
    if "," in given and not Path(given).exists():
        words = given.split(",")
        if not all(words):
            raise UsageError(f"{given!r} has an empty entry; give runs or baselines with a comma between them")
        return list(dict.fromkeys(run for word in words for run in _runs_of_word(word, where)))
    return _runs_of_word(given, where)


def read_baseline(folder: Path) -> Baseline:
    """A baseline by its folder.

    Raises:
        UsageError: there is none. StoreError: it is damaged, or from a newer version.
    """
    path = folder / MANIFEST
    try:
        values = strict_load(path)
        found = values.get("format") if isinstance(values, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise StoreError(f"{path} has format {found}, this mglubench reads up to {FORMAT}; upgrade mglubench")
        manifest = msgspec.convert(values, Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} holds no baseline ({MANIFEST} is missing)") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason_of(error)}") from None
    except ValueError as error:
        raise StoreError(f"{path} cannot be read: {error}; save the baseline again with --force") from None
    if not manifest.runs:
        raise StoreError(f"{path} names no run; save the baseline again with --force")
    for run in manifest.runs:
        if Path(run.folder).name != run.folder or not (folder / run.folder / HEADER).is_file():
            raise StoreError(f"{path} names the run {plain(run.folder, 100)!r}, which is not in {folder}")
    return Baseline(folder, manifest)


def find_baseline(name: str, where: Path | None = None) -> Baseline:
    """A baseline by its name.

    Raises:
        UsageError: there is none; the message names what is near. StoreError: as for :func:`read_baseline`.
    """
    folder = where or baselines_folder()
    check_name(name)
    if not (folder / name / MANIFEST).exists():
        raise UsageError(f"there is no baseline {name!r} in {folder}; {_known(name, folder)}")
    return read_baseline(folder / name)


def baseline_folders(where: Path) -> list[Path]:
    """Folders of baselines directly inside ``where``, in order of name; damaged ones too."""
    return sorted(path.parent for path in where.glob(f"*/{MANIFEST}")) if where.is_dir() else []


def list_baselines(where: Path) -> tuple[list[Baseline], dict[Path, str]]:
    """Baselines directly inside ``where``, oldest first; and why others there cannot be read."""
    found, damaged = [], {}
    for folder in baseline_folders(where):
        try:
            found.append(read_baseline(folder))
        except MglubenchError as error:
            damaged[folder] = str(error)
    return sorted(found, key=lambda baseline: (baseline.time, baseline.name)), damaged


def check_name(name: str) -> None:
    """Raise :class:`UsageError` for what can be no name of a baseline."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{plain(name, 100)!r} is no name for a baseline; use letters, digits and . _ + @ = -, at most 100, "
            "the first a letter, a digit or _"
        )


def _runs_of_word(word: str, where: Path | None) -> list[Path]:
    folder, path = where or baselines_folder(), Path(word)
    if not word:
        raise UsageError("an empty name is neither a run nor a baseline")
    if _NAME.fullmatch(word) and (folder / word / MANIFEST).exists():
        return read_baseline(folder / word).runs
    if (path / HEADER).exists():
        return [path]
    if (path / MANIFEST).exists():
        return read_baseline(path).runs
    if runs := numbered_runs(path):
        return runs
    if word == LAST:
        return _last()
    if path.is_dir():
        raise UsageError(f"{path} is no run, baseline or folder of repeats; `mglubench runs` lists runs")
    if path.exists():
        raise UsageError(f"{path} is not a run folder")
    raise UsageError(f"{plain(word, 200)!r} is neither a run nor a baseline in {folder}; {_known(word, folder)}")


def _last() -> list[Path]:
    """The newest run, or all of the newest repeats."""
    stored = {path: [path] for path in list_runs(RUNS_FOLDER)}
    if RUNS_FOLDER.is_dir():
        stored |= {path: runs for path in RUNS_FOLDER.iterdir() if (runs := numbered_runs(path))}
    if not stored:
        raise UsageError(f"there is no last run, {RUNS_FOLDER} holds none; `mglubench sweep` makes one")
    return max(stored.values(), key=lambda runs: (runs[-1] / HEADER).stat().st_mtime)


def _known(name: str, folder: Path) -> str:
    names = [path.name for path in baseline_folders(folder)]
    return near(name, names) if names else "`mglubench baseline save NAME RUN` makes one"
