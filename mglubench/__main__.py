"""``python -m mglubench``: the same program as the ``mglubench`` command."""

from __future__ import annotations

from mglubench.cli import main

if __name__ == "__main__":
    main()
