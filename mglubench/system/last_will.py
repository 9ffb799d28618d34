"""An end with this process for what others start for it: a library's daemons, which no leash holds.

They inherit a mark. A process beside this one hears by a pipe that this one has ended, even by SIGKILL, and kills
whatever carries it. Started as ``python -m mglubench.system.last_will PIPE MARK``.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from mglubench.system.process import GONE_SECONDS, MARK, Child, kill_marked, marked_environment, new_mark
from mglubench.system.variables import variable


class LastWill:
    """The process beside this one, and the mark of what it will kill."""

    def __init__(self) -> None:
        self._mark = new_mark()
        read, self._pipe = os.pipe()
        command = [sys.executable, "-m", "mglubench.system.last_will", str(read), self._mark]
        with Path(os.devnull).open("w") as nowhere:
            self._beside = Child(command, nowhere.fileno(), pass_fds=(read,), leash=False)
        os.close(read)

    def over_what_starts(self) -> AbstractContextManager[None]:
        """Processes that begin in here, and all that they start, carry the mark."""
        return variable(MARK, marked_environment(self._mark))

    def carry_out(self) -> None:
        """Do it now, and wait until it is done."""
        os.close(self._pipe)
        self._beside.end(2 * GONE_SECONDS)


def main() -> None:
    """Entry point of the process beside."""
    os.read(int(sys.argv[1]), 1)
    kill_marked(sys.argv[2])


if __name__ == "__main__":
    main()
