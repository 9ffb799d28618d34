"""Notebooks: small JSON tables that outlive a run, for what was found out about devices.

A table is one file in the user's data folder, or the file that its environment variable names. It is read as a whole,
changed under a lock and published by a rename; deleting it forgets everything in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mglubench.errors import StoreError, UsageError
from mglubench.system.files import publish
from mglubench.system.strict_json import strict_load
from mglubench.system.user_folders import data_folder_of_user

LOCK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Notebook:
    """A table of entries by key.

    Attributes:
        file: its name in the user's data folder. variable: environment variable that names another file. content: key
            of the entries in the file. version: of their format. what: as errors call it. again: how to make it anew.
    """

    file: str
    variable: str
    content: str
    version: int
    what: str
    again: str

    def path(self) -> Path | None:
        """Where the table is; ``None`` where nothing says, because no home is known."""
        if given := os.environ.get(self.variable):
            return Path(given)
        folder = data_folder_of_user()
        return folder / self.file if folder else None

    def read(self) -> dict[str, Any]:
        """All entries; empty if there is no table.

        Raises:
            UsageError: the file is not a table of this version.
        """
        path = self.path()
        if path is None:
            return {}
        try:
            table = strict_load(path)
            if table["version"] != self.version:
                raise ValueError(f"version {table['version']}")
            return dict(table[self.content])
        except FileNotFoundError:
            return {}
        except (PermissionError, NotADirectoryError) as error:
            # A home that is somebody else's, or none at all, holds nothing for this user; a file that was named must.
            if self.variable not in os.environ:
                return {}
            raise self.damaged(str(error)) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self.damaged(str(error)) from None

    def damaged(self, why: str) -> UsageError:
        """What to raise for a table, or an entry of it, that cannot be understood."""
        return UsageError(f"{self.path()} is not a {self.what}: {why}; delete it, or {self.again}")

    def change(self, update: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace the entries by what ``update`` makes of them.

        Raises:
            UsageError: the file is not a table of this version. StoreError: it cannot be written.
        """
        from filelock import FileLock, Timeout

        path = self.path()
        if path is None:
            raise StoreError(f"no home is known to keep a {self.what} in; set {self.variable} to a file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
                table = {"version": self.version, self.content: update(self.read())}
                publish(path, json.dumps(table, indent=1) + "\n")
        except (OSError, NotImplementedError, Timeout) as error:
            raise StoreError(f"{path} cannot be written: {error}; set {self.variable} to another file") from None
