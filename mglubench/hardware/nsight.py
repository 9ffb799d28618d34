"""Where NVIDIA's profilers are: named by MGLUBENCH_NCU or MGLUBENCH_NSYS, on PATH, or in the usual places."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mglubench.system.programs import find_program

NCU_PLACES = ("/usr/local/cuda/bin", "/opt/nvidia/nsight-compute/*", "/usr/local/NVIDIA-Nsight-Compute*")
NSYS_PLACES = ("/usr/local/cuda/bin", "/opt/nvidia/nsight-systems/*/bin", "/opt/nvidia/nsight-systems/*/target-linux-*")


def find_ncu() -> str | None:
    """Path of Nsight Compute's command line; ``None`` if it is nowhere."""
    return _find("ncu", NCU_PLACES)


def find_nsys() -> str | None:
    """Path of Nsight Systems' command line; ``None`` if it is nowhere."""
    return _find("nsys", NSYS_PLACES)


def _find(name: str, places: Sequence[str]) -> str | None:
    if given := os.environ.get(f"MGLUBENCH_{name.upper()}"):
        return given
    usual = (str(folder) for place in places for folder in sorted(Path("/").glob(place.lstrip("/")), reverse=True))
    found = find_program(name) or find_program(name, usual)
    return str(found) if found else None
