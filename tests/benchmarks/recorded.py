"""Figures of a benchmark's processes, kept: what a table in the README is printed from is in the repository.

A benchmark takes ``--save FILE`` to keep what its processes found, and ``--from FILE`` to print that again.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mglubench.hardware.cpu import cpu_model
from mglubench.system.files import publish

Found = dict[str, float]
PACKAGES = ("mglubench", "torch", "numba", "numpy")


def recorded(arguments: Sequence[str], measure: Callable[[], list[Found]]) -> list[Found]:
    """What each process found: measured, and kept if that is asked for, or read from a file."""
    option, file = (*arguments, "", "")[:2]
    if option == "--from":
        runs: list[Found] = json.loads(Path(file).read_text(encoding="utf-8"))["processes"]
        return runs
    if option not in ("", "--save"):
        sys.exit(f"{option} is no option; --save FILE keeps what is measured, --from FILE prints it again")
    runs = measure()
    if option:
        where = {"cpu": cpu_model(), "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
        publish(Path(file), json.dumps({"environment": where, "processes": runs}, indent=1) + "\n")
    return runs


def spread(values: Sequence[float]) -> str:
    """``1.30 [1.28, 1.33]``: median, lowest, highest."""
    return f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def head(*columns: str) -> None:
    """Begin a table; columns whose names end with a colon hold numbers."""
    print(f"| {' | '.join(name.rstrip(':') for name in columns)} |")
    print(f"| {' | '.join('---:' if name.endswith(':') else '---' for name in columns)} |")


def row(*cells: object) -> None:
    """One row of a table."""
    print(f"| {' | '.join(map(str, cells))} |")
