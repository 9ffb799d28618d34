"""The record of where a run was made: machine, devices, versions, git state, command. Kept in every run folder."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mglubench.hardware.devices import Device
from mglubench.hardware.telemetry import GpuTelemetry
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
_ENVIRONMENT_PREFIXES = ("OMP_", "MKL_", "NUMBA_", "CUDA_VISIBLE", "TORCH", "MGLUBENCH_", "KMP_")

MIB = 1 << 20


def host_record() -> dict[str, Any]:
    """What can be read without importing torch: CPU, memory, operating system, versions, git, command."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "cpu": cpu_record(),
        "memory_bytes": total_memory(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
        "git": git_record(PACKAGE.parent),
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(_ENVIRONMENT_PREFIXES)},
    }


def device_here(device: str) -> Device:
    """What torch and NVML say about one device, with the threads that CPU work uses."""
    import torch

    if not device.startswith("cuda"):
        return Device(
            "cpu",
            cpu_record()["model"],
            torch_threads=torch.get_num_threads(),
            numba_threads=_numba_threads(),
            cpu_capability=torch.backends.cpu.get_cpu_capability(),
        )
    telemetry = GpuTelemetry.of_cuda(device)
    properties = torch.cuda.get_device_properties(torch.device(device).index or 0)
    return Device(
        "cuda",
        properties.name,
        uuid=telemetry.uuid,
        capability=f"{properties.major}.{properties.minor}",
        memory_bytes=properties.total_memory,
        sm_count=properties.multi_processor_count,
        l2_bytes=getattr(properties, "L2_cache_size", None),
        cuda=torch.version.cuda,
        card=telemetry.card(),
        at_start=telemetry.read() or None,
    )


def cpu_record() -> dict[str, Any]:
    """Model, cores this process may use, current clock and the last-level cache."""
    import psutil

    clock = psutil.cpu_freq()
    return {
        "model": _cpu_model(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "mhz": round(clock.current) if clock else None,
        "cache_bytes": last_level_cache(),
    }


def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's limit."""
    import psutil

    return min(psutil.virtual_memory().total, _cgroup_limit())


def available_memory() -> int:
    """Bytes of memory that can be allocated now without swapping."""
    import psutil

    used = psutil.Process().memory_info().rss
    return min(psutil.virtual_memory().available, max(0, _cgroup_limit() - used))


def package_version(name: str) -> str | None:
    """Installed version, or ``None``."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def git_record(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the checkout that the package runs from; ``None`` outside one."""
    if not (folder / ".git").exists():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(status)} if commit else None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cgroup_limit() -> int:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(path).read_text())
        except (OSError, ValueError):
            continue
    return 1 << 62


def _numba_threads() -> int:
    import numba

    return int(numba.get_num_threads())


def last_level_cache() -> int | None:
    """Bytes of the largest cache that cpu0 reports, or ``None`` if it reports none."""
    sizes = []
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            text = (index / "size").read_text().strip()
        except OSError:
            continue
        factor = {"K": 1 << 10, "M": MIB, "G": 1 << 30}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * factor)
    return max(sizes, default=None)
