"""A command line on a screen of so many columns, and what stands on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

from tests.conftest import COMMAND

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*args: str, columns: int, cwd: Path, **variables: str) -> str:
    """What the command line writes to a terminal of so many columns, its streams together."""
    variables = {"TERM": "xterm-256color", **variables}
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    child, screen = pty.fork()
    if not child:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        os.chdir(cwd)
        os.execvpe(COMMAND[0], [*COMMAND, *args], {**kept, **variables})
    said = b""
    try:
        while part := os.read(screen, 1 << 16):
            said += part
    except OSError:
        # The other end is closed.
        pass
    os.close(screen)
    os.waitpid(child, 0)
    return said.decode().replace("\r\n", "\n")


def without_style(text: str) -> str:
    """What is seen of a text, without colours and cursor moves."""
    return _STYLE.sub("", text)
