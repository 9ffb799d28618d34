"""Programs by name, in folders that somebody named."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def folders_in(text: str) -> list[str]:
    """The folders of a list as shells write it (``/a:/b``); a folder whose own name has a colon is one folder.

    An empty part, which shells take for the working directory, is none: what lies there was not named by anybody.
    """
    if text and Path(text).is_dir():
        return [text]
    return [part for part in text.split(os.pathsep) if part]


def find_program(name: str, folders: Iterable[str] | None = None) -> Path | None:
    """The first executable file of this name in ``folders``, by default those of PATH; ``None`` if there is none."""
    for folder in folders_in(os.environ.get("PATH", os.defpath)) if folders is None else folders:
        path = Path(folder).absolute() / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None
