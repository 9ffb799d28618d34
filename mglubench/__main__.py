"""The way into the program, for ``mglubench`` and ``python -m mglubench`` alike."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the program and run it; Ctrl-C ends it in one line even before it can handle signals."""
    try:
        from mglubench.cli.start import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was begun\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
