"""Where the CUDA tools are: on PATH, in CUDA_HOME, or in NVIDIA's PyPI packages; and what architectures are called.

None of it needs a GPU or a driver: kernels are compiled and inspected for any architecture on any machine.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from mglubench.errors import BuildError, UnavailableError, UsageError

ARCHITECTURES = ("sm_80", "sm_90a", "sm_100a", "sm_120a")
_ARCHITECTURE = re.compile(r"sm_(\d{2,3})[af]?")


def find_tool(name: str) -> Path | None:
    """Path of ``nvcc``, ``cuobjdump`` or ``nvdisasm``; ``None`` if it is nowhere."""
    found = shutil.which(name)
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if found is None and home:
        found = shutil.which(name, path=str(Path(home) / "bin"))
    return Path(found) if found else _in_packages(name)


def require_tool(name: str) -> Path:
    """As :func:`find_tool`; raises :class:`UnavailableError` with what to install."""
    found = find_tool(name)
    if found is None:
        raise UnavailableError(f"{why_missing(name)}; install it with `pip install mglubench[cu13]`")
    return found


def why_missing(name: str) -> str:
    """The sentence that says where a tool was looked for."""
    return f"{name} is not on PATH, not in CUDA_HOME and not among the installed packages"


def why_cannot_build() -> str | None:
    """Why nothing can be compiled here, in one line; ``None`` if it can."""
    if find_tool("nvcc") is None:
        return why_missing("nvcc")
    if "NVCC_CCBIN" not in os.environ and shutil.which("g++") is None:
        return "nvcc needs a host compiler and g++ is not on PATH"
    return None


@cache
def compiler_version(nvcc: Path) -> str:
    """What ``nvcc --version`` prints; part of every build's key."""
    try:
        done = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{nvcc} does not run: {error}") from None
    return done.stdout.strip()


def architecture_name(text: str) -> str:
    """``sm_90a`` for ``sm_90a`` or ``90a``.

    Raises:
        UsageError: not the name of a GPU architecture.
    """
    name = text.strip().lower()
    name = name if name.startswith("sm_") else f"sm_{name}"
    if not _ARCHITECTURE.fullmatch(name):
        raise UsageError(f"unknown architecture {text!r}; use names such as {', '.join(ARCHITECTURES)}")
    return name


def capability(architecture: str) -> int:
    """Ten times the compute capability: 90 for ``sm_90a``."""
    match = _ARCHITECTURE.fullmatch(architecture_name(architecture))
    assert match
    return int(match[1])


def architecture_of(major: int, minor: int) -> str:
    """Architecture to compile for a device; from 9.0 on, the one with that generation's own instructions."""
    return f"sm_{major}{minor}{'a' if major >= 9 else ''}"


@cache
def _in_packages(name: str) -> Path | None:
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.pathfinder") is None:
        return None
    from cuda import pathfinder

    finder = getattr(pathfinder, "find_nvidia_binary_utility", None)
    found = finder(name) if finder else None
    return Path(found) if found and os.access(found, os.X_OK) else None
