"""Publishing a file: it is there whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path) -> BinaryIO:
    """A file to read from. What is no file is not waited for.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(handle).st_mode
    if stat.S_ISREG(kind):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is a pipe or a device, no file", str(path))


def why_not_publishable(path: Path) -> str | None:
    """Why no file can be written there; found out by beginning one, of which nothing is left."""
    try:
        if path.is_dir():
            return "it is there already, and a folder"
        if path.exists() and not path.is_file():
            return None
        partial = _begun(path, str(os.getpid()))
        partial.open("w").close()
        partial.unlink()
    except FileNotFoundError:
        return f"there is no folder {path.parent}"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def publish(path: Path, text: str) -> None:
    """Write a text under another name, bring it to the disk, and rename it to ``path``; raises :class:`OSError`.

    What is there and no file (a terminal, ``/dev/null``, a pipe) is written to, not replaced.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_text(text, encoding="utf-8")
        return
    partial = _begun(path, str(os.getpid()))
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    for old in path.parent.glob(f"{glob.escape(_begun(path, '').name)}*"):
        import psutil

        owner = old.name.rpartition(".")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            with suppress(OSError):
                old.unlink()


def _begun(path: Path, pid: str) -> Path:
    """The name under which a process of this machine begins a file; whoever is killed at it leaves that behind."""
    return path.with_name(f".{path.name}.{os.uname().nodename[:32]}.{pid}")
