"""Where the CUDA tools are: on PATH, in CUDA_HOME, or in NVIDIA's PyPI packages; and what architectures are called.

None of it needs a GPU or a driver: kernels are compiled and inspected for any architecture on any machine.
"""

from __future__ import annotations

import importlib.util
import os
import re
from functools import cache
from pathlib import Path

from mglubench.errors import BuildError, UnavailableError, UsageError
from mglubench.system.plain_text import plain
from mglubench.system.process import run_process
from mglubench.system.programs import find_program, folders_in

HOMES = ("CUDA_HOME", "CUDA_PATH")
VERSION_SECONDS = 60.0
# What `mglubench build` makes unless asked; the others that people own are EVERY.
ARCHITECTURES = ("sm_80", "sm_90a", "sm_100a", "sm_120a")
EVERY = ("sm_80", "sm_86", "sm_87", "sm_89", "sm_90a", "sm_100a", "sm_103a", "sm_110a", "sm_120a", "sm_121a")
_VERSION = re.compile(r"\bV(\d+(?:\.\d+)+)")
_ARCHITECTURE = re.compile(r"sm_(\d{2,3})[af]?")


def find_tool(name: str) -> Path | None:
    """Path of ``nvcc``, ``cuobjdump`` or ``nvdisasm``; ``None`` if it is nowhere."""
    found = find_program(name) or find_program(name, (str(Path(home) / "bin") for home in cuda_homes()))
    return found or _in_packages(name)


def why_home_is_odd() -> str:
    """What is wrong with CUDA_HOME or CUDA_PATH, in one line; empty if nothing is, or neither is set."""
    for variable in HOMES:
        value = os.environ.get(variable, "")
        if len(folders := folders_in(value)) > 1:
            return f"{variable} names {len(folders)} folders ({value}); each is looked into"
        if folders and not Path(folders[0]).is_dir():
            return f"{variable} names {folders[0]}, which is not there"
    return ""


def cuda_homes() -> list[str]:
    """Folders of CUDA installations that the environment names, CUDA_HOME's first."""
    return [folder for variable in HOMES for folder in folders_in(os.environ.get(variable, ""))]


def require_tool(name: str) -> Path:
    """As :func:`find_tool`; raises :class:`UnavailableError` with what to install."""
    found = find_tool(name)
    if found is None:
        raise UnavailableError(f"{why_missing(name)}; install it with `pip install mglubench[cu13]`")
    return found


def why_missing(name: str) -> str:
    """The sentence that says where a tool was looked for."""
    odd = why_home_is_odd()
    return f"{name} is not on PATH, not in CUDA_HOME and not among the installed packages" + (f"; {odd}" if odd else "")


def why_cannot_build() -> str | None:
    """Why nothing can be compiled here, in one line; ``None`` if it can."""
    if find_tool("nvcc") is None:
        return why_missing("nvcc")
    if not os.environ.get("NVCC_CCBIN") and find_program("g++") is None:
        return "nvcc needs a host compiler and g++ is not on PATH"
    return None


@cache
def compiler_version(nvcc: Path) -> str:
    """What ``nvcc --version`` prints; part of every build's key."""
    done = run_process([str(nvcc), "--version"], VERSION_SECONDS)
    if done.code != 0:
        why = f"no answer in {VERSION_SECONDS:g} s" if done.code is None else f"exit code {done.code}, {done.said()}"
        raise BuildError(f"{nvcc} does not run: {why if done.started else done.err}")
    return done.out.strip()


def compiler_release() -> str:
    """Version of nvcc (``13.0.88``); the last line of what it says of itself, where that has none.

    Raises:
        UnavailableError: there is no nvcc. BuildError: it does not run.
    """
    said = compiler_version(require_tool("nvcc"))
    version = _VERSION.search(said)
    return version[1] if version else plain((said.splitlines() or [""])[-1], 100)


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
