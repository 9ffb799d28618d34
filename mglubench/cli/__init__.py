"""The command line: parse, call, print. Imports nothing heavy until a command needs it."""

from mglubench.cli.start import main

__all__ = ["main"]
