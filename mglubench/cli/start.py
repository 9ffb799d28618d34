"""The way into the program and out of it: streams, signals, exit codes. Imports nothing that takes time."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
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
    before, hook = None, sys.unraisablehook
    sys.unraisablehook = lambda lost: _again(lost, hook)
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
    sys.unraisablehook = hook
    sys.exit(code)


def _again(lost: sys.UnraisableHookArgs, otherwise: Callable[[sys.UnraisableHookArgs], object]) -> None:
    """What came where nothing can be raised (a finalizer, a library's own code) comes again, until it is heard."""
    number = {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM}.get(lost.exc_type)
    if number is None:
        otherwise(lost)
        return
    import _thread
    import time

    def send() -> None:
        time.sleep(0.01)
        _thread.interrupt_main(number)

    if number == signal.SIGTERM:
        signal.signal(number, _terminate)
    _thread.start_new_thread(send, ())


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
