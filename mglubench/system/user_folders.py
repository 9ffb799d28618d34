"""Where a user's own files are: what is to be kept, and what may be deleted at any time.

A process may have no home: no HOME, a user without an entry in the password file, a HOME that is empty. Then nothing is
kept, and what may be deleted lies in a folder of this user's own among the temporary ones.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

NAME = "mglubench"


def data_folder_of_user() -> Path | None:
    """What is kept between runs; ``None`` where no home is known."""
    import platformdirs

    return _below_home(lambda: platformdirs.user_data_dir(NAME), "XDG_DATA_HOME")


def cache_folder_of_user() -> Path:
    """What can be made again.

    Raises:
        OSError: there is no home, and the temporary folder of that name is not this user's own.
    """
    import platformdirs

    return _below_home(lambda: platformdirs.user_cache_dir(NAME), "XDG_CACHE_HOME") or _temporary()


def _below_home(find: Callable[[], str], variable: str) -> Path | None:
    if os.environ.get("HOME") == "" and not os.environ.get(variable):
        # An empty HOME would make it a folder of the root.
        return None
    try:
        path = Path(find())
    except (KeyError, RuntimeError, OSError):
        return None
    return path if path.is_absolute() else None


def _temporary() -> Path:
    """A folder that nobody else can have put libraries into."""
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder} is not this user's own")
    return folder
