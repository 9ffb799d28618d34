"""The CPU of this machine: what it is called, how many of its cores may be used, its clock and its caches.

Every reading is optional: what the system does not tell is left out.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mglubench.system.limits import SELF, affinity, cpu_quota, usable_cores

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
# Where firmware says what machine this is: a device tree, or DMI.
MACHINE_NAMES = (Path("/proc/device-tree/model"), Path("/sys/class/dmi/id/product_name"))

MIB = 1 << 20

# Arm's processors do not name themselves; (implementer, part) by arch/arm64/include/asm/cputype.h of the Linux kernel.
_ARM = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD84): "Neoverse-V3",
    (0x41, 0xD8E): "Neoverse-N3",
    (0x46, 0x001): "A64FX",
    (0x48, 0xD01): "TaiShan-v110",
    (0x4E, 0x004): "Carmel",
    (0x6D, 0xD49): "Azure Cobalt 100",
    (0xC0, 0xAC3): "AmpereOne",
    (0xC0, 0xAC4): "AmpereOne-A",
}
# Lines of /proc/cpuinfo that name the processor on architectures without a "model name".
_NAMED_BY = ("model name", "cpu model", "cpu", "uarch")
# What differs from core to core or from boot to boot, and says nothing of which processor it is.
_VOLATILE = ("processor", "bogomips", "cpu mhz", "clock", "core id", "physical id", "apicid", "hart", "timebase")


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU.

    Attributes:
        cores: that this process can keep busy, by affinity and quota; not whole where the quota is not.
        machine_cores: that the machine has. quota: processors' worth of time that control groups grant.
        mhz: the current clock. cache_bytes: of the last-level cache.
    """

    model: str
    architecture: str
    cores: float
    machine_cores: int | None = None
    quota: float | None = None
    mhz: int | None = None
    cache_bytes: int | None = None

    @property
    def cores_in_words(self) -> str:
        """Those that can be used, with the machine's beside them where it has more."""
        if not self.cores:
            return "cores not known"
        if not self.machine_cores or self.machine_cores == self.cores:
            return f"{self.cores:g} cores"
        quota = " by quota" if self.quota is not None and self.quota == self.cores else ""
        return f"{self.cores:g} of the machine's {self.machine_cores} cores{quota}"

    def to_dict(self) -> dict[str, object]:
        """Plain values, for a run's header; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, told: object) -> Cpu:
        """What a header says; a value of a wrong type is left out."""
        record = told if isinstance(told, Mapping) else {}

        def number(key: str) -> float | None:
            value = record.get(key)
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None

        def whole(key: str) -> int | None:
            value = number(key)
            return None if value is None else int(value)

        return cls(
            model=str(record.get("model", "")),
            architecture=str(record.get("architecture", "")),
            cores=number("cores") or 0,
            machine_cores=whole("machine_cores"),
            quota=number("quota"),
            mhz=whole("mhz"),
            cache_bytes=whole("cache_bytes"),
        )


def cpu_here(proc: Path = SELF) -> Cpu:
    """The CPU of this machine, and what this process may use of it."""
    cores = usable_cores(proc)
    return Cpu(
        model=cpu_model(),
        architecture=platform.machine(),
        cores=int(cores) if cores == int(cores) else round(cores, 2),
        machine_cores=os.cpu_count() or affinity(),
        quota=cpu_quota(proc),
        mhz=_clock(),
        cache_bytes=last_level_cache(),
    )


def cpu_model() -> str:
    """What the processor is called, the same on every boot; two kinds of processor never share a name."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    blocks = [_fields(block) for block in text.split("\n\n") if block.strip()]
    for key in _NAMED_BY:
        names = list(dict.fromkeys(name for block in blocks if (name := block.get(key))))
        if names:
            return " + ".join(names)
    cores = list(dict.fromkeys(name for block in blocks if (name := _arm_core(block))))
    named = " + ".join(cores) or f"{platform.machine()} {_digest(blocks)}"
    machine = _machine_name()
    return f"{named} ({machine})" if machine else named


def thread_words(torch_threads: int | None, numba_threads: int | None, cores: float) -> str:
    """What is uneven about the threads that CPU work uses; empty if nothing is."""
    known = [threads for threads in (torch_threads, numba_threads) if threads]
    if len(set(known)) == 2:
        return f"torch uses {torch_threads} thread{'s' * (torch_threads != 1)}, Numba {numba_threads}"
    if known and cores and known[0] > math.ceil(cores):
        return f"{known[0]} threads on {cores:g} cores"
    return ""


def last_level_cache() -> int | None:
    """Bytes of the largest cache that cpu0 reports, or ``None`` if it reports none."""
    sizes = []
    for index in CACHES.glob("index*"):
        try:
            text = (index / "size").read_text().strip()
            factor = {"K": 1 << 10, "M": MIB, "G": 1 << 30}.get(text[-1:], 1)
            sizes.append(int(text.rstrip("KMG")) * factor)
        except (OSError, ValueError):
            continue
    return max(sizes, default=None)


def _clock() -> int | None:
    import psutil

    try:
        clock = psutil.cpu_freq()
        return round(clock.current) if clock and clock.current else None
    except Exception:
        # Where the kernel tells no clock, psutil raises whatever reading the file or parsing it raised.
        return None


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _arm_core(block: Mapping[str, str]) -> str | None:
    """Name and revision of an Arm core; its numbers where the name is not known."""
    try:
        implementer, part = (int(block[f"cpu {key}"], 16) for key in ("implementer", "part"))
    except (KeyError, ValueError):
        return None
    name = _ARM.get((implementer, part), f"Arm core {implementer:#04x}:{part:#05x}")
    try:
        return f"{name} r{int(block['cpu variant'], 16)}p{int(block['cpu revision'])}"
    except (KeyError, ValueError):
        return name


def _digest(blocks: list[dict[str, str]]) -> str:
    """A short name for what /proc/cpuinfo says of a processor that it does not name."""
    said = {f"{key}:{value}" for block in blocks for key, value in block.items() if key not in _VOLATILE}
    return hashlib.sha256("\n".join(sorted(said)).encode()).hexdigest()[:8]


def _machine_name() -> str:
    for path in MACHINE_NAMES:
        try:
            name = path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
        except OSError:
            continue
        if name:
            return name
    return ""
