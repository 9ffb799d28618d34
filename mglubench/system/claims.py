"""Things of a machine that one process at a time may have: cores, cards. A claim ends with its process.

A lock of a file in a folder of this user's own, which all its processes on the machine see, whoever started them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from mglubench.errors import UnavailableError
from mglubench.system.user_folders import cache_folder_of_user


class Claims:
    """What this process has claimed.

    Args:
        folder: of the locks; one of the user's by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder_of_user() / "claims"
        self._held: dict[str, FileLock] = {}

    def take(self, names: Sequence[str], count: int) -> list[str]:
        """The first so many of these that nobody has, now this process's.

        Raises:
            UnavailableError: fewer are free.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        taken: list[str] = []
        for name in names:
            if len(taken) < count and self._take(name):
                taken.append(name)
        if len(taken) < count:
            self.release(taken)
            what = ", ".join(names) if len(names) <= 8 else f"{names[0]} to {names[-1]}"
            raise UnavailableError(f"{len(taken)} of {count} wanted are free of {what}; other workers hold the rest")
        return taken

    def release(self, names: Sequence[str] | None = None) -> None:
        """Give these back; all if ``None``."""
        for name in list(self._held) if names is None else names:
            self._held.pop(name).release()

    def _take(self, name: str) -> bool:
        # Whoever ends a worker may be another thread than the one that it was made in.
        lock = FileLock(self._folder / name.replace("/", "-"), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._held[name] = lock
        return True
