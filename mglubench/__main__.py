"""``python -m mglubench``: the same program as the ``mglubench`` command."""

from __future__ import annotations

if __name__ == "__main__":
    try:
        from mglubench.cli import main
    except KeyboardInterrupt:
        # Before the program can say anything: its exit code after Ctrl-C, in silence.
        raise SystemExit(130) from None
    main()
