"""What this process may use of the machine: processors by affinity and quota, memory by its control groups.

A control group limits everything below it, so every group from the process's own up to the mounted root counts, of
versions 1 and 2, and of both beside each other. What cannot be read limits nothing. Source: cgroups(7), and
``cgroup-v2.rst`` and ``cgroup-v1/memory.rst`` of the kernel.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

SELF = Path("/proc/self")
# Version 1 writes "no limit" as the largest multiple of a page.
_UNLIMITED = 1 << 60


def affinity() -> int:
    """Processors that this process may be scheduled on."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def cpu_quota(proc: Path = SELF) -> float | None:
    """Processors' worth of time that the control groups grant; ``None`` if they set no quota."""
    quotas = [quota for version, folder in _groups("cpu", proc) if (quota := _quota(version, folder)) is not None]
    return min(quotas, default=None)


def usable_cores(proc: Path = SELF) -> float:
    """Processors that this process can keep busy: by affinity, or fewer by quota."""
    quota = cpu_quota(proc)
    return affinity() if quota is None else min(affinity(), quota)


def threads_wanted(proc: Path = SELF) -> int:
    """Threads that work on a CPU is given: OMP_NUM_THREADS, else one a processor that can be kept busy.

    Libraries count by themselves, and unlike: torch heeds the variable and Numba does not, neither knows of quotas.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if told.isdecimal() and int(told):
        return int(told)
    return max(1, math.ceil(usable_cores(proc)))


def memory_limit(proc: Path = SELF) -> int | None:
    """Bytes that the control groups grant; ``None`` if they set no limit."""
    limits = [limit for version, folder in _groups("memory", proc) if (limit := _limit(version, folder)) is not None]
    return min(limits, default=None)


def memory_left(proc: Path = SELF) -> int | None:
    """Bytes that this process can still allocate below every limit; ``None`` if there is no limit."""
    left = [
        max(0, limit - _used(version, folder))
        for version, folder in _groups("memory", proc)
        if (limit := _limit(version, folder)) is not None
    ]
    return min(left, default=None)


def _groups(controller: str, proc: Path) -> Iterator[tuple[int, Path]]:
    """Version and folder of every group that this process is in, from its own up to the mounted root."""
    paths = dict(_own_groups(proc))
    for version, mount, root in _mounts(controller, proc):
        own = paths.get("" if version == 2 else controller)
        if own is None:
            continue
        # A container may see neither the group's path nor more than its own part of the tree.
        seen = root == "/" or f"{own}/".startswith(f"{root}/")
        inside = own[len(root) :].strip("/") if seen else ".."
        folder = mount if ".." in inside.split("/") else mount / inside
        while True:
            yield version, folder
            if folder == mount:
                break
            folder = folder.parent


def _own_groups(proc: Path) -> Iterator[tuple[str, str]]:
    """Path of this process's group by controller of version 1; by the empty name for version 2."""
    for line in _lines(proc / "cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in controllers.split(","):
            yield name, path


def _mounts(controller: str, proc: Path) -> Iterator[tuple[int, Path, str]]:
    """Version, mount point, and the group that is mounted there, of every hierarchy that may hold the controller."""
    for line in _lines(proc / "mountinfo"):
        fields, _, rest = line.partition(" - ")
        before, after = fields.split(), rest.split()
        if len(before) < 5 or len(after) < 3:
            continue
        root, mount = _unescaped(before[3]), Path(_unescaped(before[4]))
        if after[0] == "cgroup2":
            yield 2, mount, root
        elif after[0] == "cgroup" and controller in after[2].split(","):
            yield 1, mount, root


def _unescaped(text: str) -> str:
    """The kernel writes blanks in paths as ``\\\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _quota(version: int, folder: Path) -> float | None:
    if version == 2:
        granted, _, period = next(iter(_lines(folder / "cpu.max")), "").partition(" ")
    else:
        granted, period = (next(iter(_lines(folder / name)), "") for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    if not (granted.isdigit() and period.isdigit()) or not int(granted) or not int(period):
        return None
    return int(granted) / int(period)


def _limit(version: int, folder: Path) -> int | None:
    limit = _number(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
    return limit if limit is not None and limit < _UNLIMITED else None


def _used(version: int, folder: Path) -> int:
    """Bytes in use in a group, without the cache of files, which the kernel gives back when memory is short."""
    used = _number(folder / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
    prefix = "" if version == 2 else "total_"
    wanted = (f"{prefix}active_file", f"{prefix}inactive_file")
    words = (line.split() for line in _lines(folder / "memory.stat"))
    cached = sum(int(pair[1]) for pair in words if len(pair) == 2 and pair[0] in wanted and pair[1].isdigit())
    return max(0, (used or 0) - cached)


def _number(path: Path) -> int | None:
    text = next(iter(_lines(path)), "")
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return []
