"""What a process prints, without end perhaps: the beginning and the end of it are kept."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

HEAD, TAIL = 1 << 20, 1 << 18
NOTICE = b"\n[mglubench: the middle of this log is left out]\n"


class Ends:
    """The first and the last bytes of what is fed."""

    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._most_head, self._most_tail = head, tail
        self._head, self._tail = bytearray(), bytearray()
        self.dropped = False

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        room = self._most_head - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > self._most_tail:
            self.dropped = True
            del self._tail[: -self._most_tail]

    def text(self) -> str:
        """What is kept, with a notice where something is left out."""
        kept = self._head + (NOTICE if self.dropped else b"") + self._tail
        return kept.decode(errors="replace")


class CappedLog:
    """Appends to a file: its first bytes as they come, and of the rest the last ones when it is closed.

    The file never exceeds ``head`` and ``tail`` bytes and the notice between them, however often it is opened again.
    Safe to feed from several threads. A log that cannot be written is lost in silence.
    """

    def __init__(self, path: Path, head: int = HEAD, tail: int = TAIL) -> None:
        self._path, self._most = path, head
        self._rest = Ends(0, tail)
        self._lock = threading.Lock()
        self._fd, self._size, self._over = -1, 0, False

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        with self._lock:
            if self._fd < 0:
                self._open()
            room = max(0, self._most - self._size)
            if now := data[:room]:
                with suppress(OSError):
                    os.write(self._fd, now)
                self._size += len(now)
            if rest := data[room:]:
                self._over = True
                self._rest.feed(rest)

    def close(self) -> None:
        """Write the end, if the middle was left out."""
        with self._lock:
            if self._fd < 0:
                return
            with suppress(OSError):
                if self._over:
                    os.ftruncate(self._fd, self._most)
                    os.write(self._fd, self._rest.text().encode(errors="replace"))
                os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        with suppress(OSError):
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._size = os.fstat(self._fd).st_size
            if self._size > self._most:
                before = os.pread(self._fd, self._size - self._most, self._most)
                self._over, self._rest.dropped = True, NOTICE in before
                self._rest.feed(before.replace(NOTICE, b""))
