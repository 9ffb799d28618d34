"""The record of where a run was made: machine, devices, versions, git state, command. Kept in every run folder."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mglubench.hardware.cpu import cpu_here, cpu_model
from mglubench.hardware.devices import Device
from mglubench.hardware.pages import pages_in_words
from mglubench.hardware.telemetry import GpuTelemetry
from mglubench.system.limits import memory_left, memory_limit, threads_wanted
from mglubench.system.process import run_process
from mglubench.system.resources import PACKAGE

PACKAGES = (
    "mglubench",
    "torch",
    "triton",
    "numba",
    "numba-cuda",
    "llvmlite",
    "numpy",
    "pandas",
    "nvidia-ml-py",
    "nvtx",
    "cuda-bindings",
    "nvidia-cuda-nvcc",
)
_ENVIRONMENT_PREFIXES = ("OMP_", "MKL_", "NUMBA_", "CUDA_VISIBLE", "TORCH", "MGLUBENCH_", "KMP_", "THP_")


def host_record() -> dict[str, object]:
    """What can be read without importing torch: CPU, memory, operating system, versions, git, command."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [_plain(word) for word in (Path(sys.argv[0]).name, *sys.argv[1:])],
        "cpu": cpu_here().to_dict(),
        "memory_bytes": total_memory(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
        "git": git_record(PACKAGE.parent),
        "variables": {k: _plain(v) for k, v in sorted(os.environ.items()) if k.startswith(_ENVIRONMENT_PREFIXES)},
    }


def device_here(device: str) -> Device:
    """What torch and NVML say about one device, with the threads that CPU work uses."""
    import torch

    if not device.startswith("cuda"):
        return Device(
            "cpu",
            cpu_model(),
            torch_threads=torch.get_num_threads(),
            numba_threads=numba_threads(),
            cpu_capability=_cpu_capability(),
            pages=pages_in_words(),
        )
    telemetry, found = GpuTelemetry.of_cuda(device), cuda_device(torch.device(device).index or 0)
    return replace(found, uuid=telemetry.uuid, card=telemetry.card(), at_start=telemetry.read() or None)


def cuda_device(index: int) -> Device:
    """What torch alone says about a GPU."""
    import torch

    properties = torch.cuda.get_device_properties(index)
    return Device(
        "cuda",
        properties.name,
        capability=f"{properties.major}.{properties.minor}",
        memory_bytes=getattr(properties, "total_memory", None),
        sm_count=properties.multi_processor_count,
        l2_bytes=getattr(properties, "L2_cache_size", None),
        cuda=torch.version.cuda,
    )


def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of its control groups."""
    return min(filter(None, (_memory("total"), memory_limit())), default=0)


def available_memory() -> int:
    """Bytes of memory that can be allocated now without swapping."""
    left = memory_left()
    free = _memory("available")
    return free if left is None else min(free, left)


def package_version(name: str) -> str | None:
    """Installed version, or ``None``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def git_record(folder: Path) -> dict[str, object] | None:
    """Commit and cleanliness of the checkout that the package runs from; ``None`` outside one."""
    if not (folder / ".git").exists():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(status)} if commit else None


def _git(folder: Path, *arguments: str) -> str | None:
    done = run_process(["git", "-C", str(folder), *arguments], 10.0)
    return done.out.strip() if done.code == 0 else None


def numba_threads() -> int | None:
    """Threads that Numba's parallel loops are given; ``None`` where Numba cannot be imported.

    Numba itself is not asked: that starts its threads, and sets torch's number of them along with its own.
    """
    try:
        from numba import config

        return min(int(vars(config)["NUMBA_NUM_THREADS"]), threads_wanted())
    except Exception:
        # Whatever an installation that does not fit raises: Numba's variants say so themselves.
        return None


def _cpu_capability() -> str | None:
    import torch

    try:
        return str(torch.backends.cpu.get_cpu_capability())
    except Exception:
        return None


def _memory(which: str) -> int:
    """Bytes of the machine's memory, ``total`` or ``available``."""
    import psutil

    try:
        return int(getattr(psutil.virtual_memory(), which))
    except Exception:
        # psutil parses /proc/meminfo, whose lines a sandbox may hide; the C library knows pages.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES" if which == "total" else "SC_AVPHYS_PAGES")


def _plain(text: str) -> str:
    """Text that every reader of JSON takes: bytes that are no UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode()
