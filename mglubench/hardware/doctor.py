"""What this machine has and lacks: one finding per thing that mglubench can use, with how to get it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from mglubench.hardware.cpu import cpu_here, thread_words
from mglubench.hardware.cuda_toolchain import find_tool, why_cannot_build, why_home_is_odd, why_missing
from mglubench.hardware.environment import available_memory, numba_threads, package_version
from mglubench.hardware.nsight import find_ncu, find_nsys
from mglubench.hardware.telemetry import GpuTelemetry, card_count, driver_version, nvml
from mglubench.system.process import run_process

GOOD, ABSENT, BAD = "ok", "absent", "broken"
NVIDIA_PARAMS = Path("/proc/driver/nvidia/params")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing.

    Attributes:
        status: ``ok``, ``absent`` (something optional is not here) or ``broken`` (needed, or here but unusable).
        needed: whether the main job cannot run without it. advice: what to do, empty if nothing.
    """

    what: str
    status: str
    detail: str
    advice: str = ""
    needed: bool = False

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def examine() -> list[Finding]:
    """All findings, in reading order."""
    return [
        _python(),
        _cpu(),
        _torch(),
        _numba(),
        _threads(),
        *_packages(),
        _compiler(),
        _driver(),
        *_gpus(),
        _cuda_in_torch(),
        _nvcc(),
        _ncu(),
        _nsys(),
        _ncu_permission(),
    ]


def device_names() -> list[str]:
    """What the devices of this machine call themselves, as runs name them: the CPU, then GPUs that torch can use."""
    names = [cpu_here().model]
    try:
        import torch

        names += [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except Exception:
        # That torch is broken is another finding.
        pass
    return names


def can_run(findings: list[Finding]) -> bool:
    """Whether the main job can run: nothing that it needs is missing."""
    return not any(finding.needed and finding.status != GOOD for finding in findings)


def _python() -> Finding:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "python", GOOD if good else BAD, sys.version.split()[0], "" if good else "use Python 3.11 to 3.13", True
    )


def _cpu() -> Finding:
    cpu = cpu_here()
    cache = f", {cpu.cache_bytes / 2**20:.0f} MiB cache" if cpu.cache_bytes else ""
    detail = f"{cpu.model}, {cpu.cores_in_words}{cache}, {available_memory() / 1e9:.1f} GB memory free"
    return Finding("cpu", GOOD, detail, needed=True)


def _threads() -> Finding:
    try:
        import torch

        of_torch = torch.get_num_threads()
    except Exception:
        # That torch cannot be imported is another finding.
        of_torch = None
    of_numba = numba_threads()
    if words := thread_words(of_torch, of_numba, cpu_here().cores):
        advice = "set OMP_NUM_THREADS and NUMBA_NUM_THREADS to the cores that can be used, or variants compare unlike"
        return Finding("threads", GOOD, words, advice)
    return Finding("threads", GOOD, f"torch {of_torch or '?'}, Numba {of_numba or '?'}")


def _torch() -> Finding:
    try:
        import torch
    except Exception as error:
        return Finding("torch", BAD, f"cannot be imported: {error}", "pip install -c constraints.txt torch", True)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return Finding("torch", GOOD, f"{torch.__version__}, {build}", needed=True)


def _numba() -> Finding:
    try:
        import numba
    except Exception as error:
        return Finding("numba", BAD, f"cannot be imported: {error}", "pip install -c constraints.txt numba", True)
    return Finding("numba", GOOD, f"{numba.__version__}, {numba.get_num_threads()} threads", needed=True)


def _packages() -> list[Finding]:
    wanted = {
        "numba-cuda": "pip install numba-cuda[cu13]",
        "triton": "pip install mglubench[triton]",
        "pyarrow": "pip install mglubench[reports] (Parquet export)",
        "matplotlib": "pip install matplotlib (plots)",
        "nvidia-ml-py": "pip install nvidia-ml-py",
        "nvtx": "pip install nvtx",
        "ncu-report": "pip install mglubench[profile] (reads .ncu-rep files)",
    }
    findings = []
    for name, advice in wanted.items():
        found = package_version(name)
        findings.append(Finding(name, GOOD, found) if found else Finding(name, ABSENT, "not installed", advice))
    return findings


def _compiler() -> Finding:
    name = os.environ.get("CXX", "g++")
    found = shutil.which(name) or shutil.which("clang++")
    if found:
        return Finding("c++ compiler", GOOD, found)
    return Finding("c++ compiler", ABSENT, f"{name} is not on PATH", "install g++: torch.compile needs it on a CPU")


def _driver() -> Finding:
    if nvml() is None:
        return Finding("nvidia driver", ABSENT, "NVML does not answer", "install NVIDIA's driver to measure on a GPU")
    return Finding("nvidia driver", GOOD, driver_version() or "it does not tell its version")


def _gpus() -> list[Finding]:
    return [_gpu(index) for index in range(card_count())]


def _gpu(index: int) -> Finding:
    telemetry = GpuTelemetry(index)
    card, now = telemetry.card(), telemetry.read()
    if card is None:
        return Finding(f"gpu {index}", ABSENT, "the driver counts it and does not let it be read")
    said = [card.name or "a GPU without a name"]
    if card.memory_bytes:
        said.append(f"{card.memory_bytes / 2**30:.0f} GiB")
    if "sm_mhz" in now:
        said.append(f"SM {now['sm_mhz']}" + (f" of {card.sm_mhz_max} MHz" if card.sm_mhz_max else " MHz"))
    if "celsius" in now:
        said.append(f"{now['celsius']} C")
    if "throttle" in now:
        said.append(", ".join(now["throttle"]) or "no throttling")
    mig = "; MIG is on: counters of a slice are limited" if card.mig else ""
    return Finding(f"gpu {index}", GOOD, ", ".join(said) + mig)


def _cuda_in_torch() -> Finding:
    try:
        import torch

        here = torch.cuda.is_available()
    except Exception as error:
        return Finding("cuda", ABSENT, f"torch cannot say: {error}", "mend torch first")
    if here:
        return Finding("cuda", GOOD, f"{torch.cuda.device_count()} device(s), {torch.cuda.get_device_name(0)}")
    if not torch.version.cuda:
        return Finding("cuda", ABSENT, "this torch is a CPU build", "on a GPU machine install torch's CUDA build")
    return Finding("cuda", ABSENT, "torch has CUDA but sees no device", "check the driver and CUDA_VISIBLE_DEVICES")


def _nvcc() -> Finding:
    found = find_tool("nvcc")
    if found is None:
        return Finding("nvcc", ABSENT, why_missing("nvcc"), "pip install mglubench[cu13]")
    lines = _output(str(found), "--version").splitlines()
    detail = f"{found} ({lines[-1] if lines else 'no version'})"
    if why := why_cannot_build():
        return Finding("nvcc", BAD, f"{detail}; {why}", "install g++, or name a host compiler in NVCC_CCBIN")
    if wrong := why_home_is_odd():
        return Finding("nvcc", GOOD, detail, wrong)
    return Finding("nvcc", GOOD, detail)


def _ncu() -> Finding:
    found = find_ncu()
    if found is None:
        return Finding("ncu", ABSENT, "Nsight Compute was not found", "install nsight-compute to count HBM bytes")
    lines = _output(found, "--version").splitlines()
    return Finding("ncu", GOOD, f"{found} ({lines[-1] if lines else 'no version'})")


def _nsys() -> Finding:
    found = find_nsys()
    if found is None:
        return Finding("nsys", ABSENT, "Nsight Systems was not found", "install nsight-systems to see timelines")
    lines = _output(found, "--version").splitlines()
    return Finding("nsys", GOOD, f"{found} ({lines[-1] if lines else 'no version'})")


def _ncu_permission() -> Finding:
    if not NVIDIA_PARAMS.exists():
        return Finding("gpu counters", ABSENT, "no NVIDIA kernel module is loaded")
    admin_only = "RmProfilingAdminOnly: 1" in NVIDIA_PARAMS.read_text(errors="replace")
    if admin_only and os.geteuid() != 0:
        advice = "run as root, or load the module with NVreg_RestrictProfilingToAdminUsers=0 (ERR_NVGPUCTRPERM)"
        return Finding("gpu counters", ABSENT, "only an administrator may read them", advice)
    return Finding("gpu counters", GOOD, "may be read")


def _output(*command: str) -> str:
    done = run_process(command, 30.0)
    return "" if done.code is None else done.out.strip()
