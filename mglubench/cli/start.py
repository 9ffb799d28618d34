"""The way into the program and out of it: streams, signals, exit codes. Imports nothing that takes time."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

EXIT_USAGE = 2
LONGEST_LINE = 2000
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM


class Terminated(BaseException):
    """SIGTERM has come. Nobody's error: not even somebody who catches :class:`SystemExit` may keep it."""


def main() -> NoReturn:
    """Run the program.

    Exit codes: the command's; 2 after a foreseen error, which is one line on standard error; 130 after Ctrl-C, at
    whatever moment; 143 after SIGTERM, with everything cleaned up.
    """
    before = None
    try:
        from mglubench.cli.streams import settle

        settle()
        # In another thread no handler can be set.
        with suppress(ValueError):
            before = signal.signal(signal.SIGTERM, _terminate)
        from mglubench.cli.app import run

        code = run()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except Terminated:
        code = EXIT_TERMINATED
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else EXIT_USAGE
    if code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
        # A second Ctrl-C while the interpreter leaves would only add noise.
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        word = "interrupted" if code == EXIT_INTERRUPTED else "terminated"
        complain(f"{word}; finished rows are kept")
    elif before is not None:
        signal.signal(signal.SIGTERM, before)
    sys.exit(code)


def complain(message: str, word: str = "error") -> None:
    """One line on standard error."""
    from mglubench.system.plain_text import plain

    sys.stderr.write(f"{word}: {plain(message, LONGEST_LINE)}\n")


def refuse(message: str) -> int:
    """One line on standard error, and the exit code of bad input."""
    complain(message)
    return EXIT_USAGE


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave in an orderly way, so that temporary folders and child processes go too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
