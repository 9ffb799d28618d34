"""Compile a CUDA kernel once and keep it: a shared library per kernel, nm, dtype, architecture and tuning macros.

A build is kept under a hash of everything that goes into it: the kernel's source, every header beside it, the flags and
the compiler's version. It is made in a scratch folder and published by an atomic rename, so a cache never holds half a
file and two processes that build the same library at once do no harm. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mglubench.errors import BuildError, MglubenchError
from mglubench.hardware.cuda_toolchain import compiler_version, require_tool
from mglubench.system.process import run_process
from mglubench.system.resources import data_folder
from mglubench.system.user_folders import cache_folder_of_user

SOURCES = "kernels_cuda"
FLAGS = ("-std=c++17", "-O3", "-lineinfo", "--shared", "-Xcompiler", "-fPIC")
TIMEOUT_SECONDS = 900

# MGLU_FORMAT by the name of a weight format.
FORMAT_CODES = {"int8": 1, "fp8-e4m3": 2, "int4": 3, "mxfp4": 4}

Macros = tuple[tuple[str, int], ...]

# What this process tried in vain, and why: cases of a sweep that need the same library fail at once, not one
# compilation after another.
_failed: dict[Path, str] = {}
# Why nvcc takes no host compiler here, by the host compiler that was named: no kernel can be built with it.
_refused: dict[str, str] = {}
_REFUSAL = re.compile(r"unsupported (?:GNU|clang) version!\s*(.*?not supported)")


@dataclass(frozen=True, slots=True)
class Target:
    """What a library is specialised for.

    Attributes:
        kernel: name of a source file without ``.cu``. nm: masks, 0 for a kernel without masks. dtype: of W,
            ``float16`` or ``bfloat16``, or its format, where x is fp16. arch: such as ``sm_90a``.
        macros: tuning macros that replace the defaults.
    """

    kernel: str
    nm: int
    dtype: str
    arch: str
    macros: Macros = ()

    @property
    def label(self) -> str:
        """Readable part of the file name, and the name that errors and progress use."""
        tuning = "".join(f"-{name.removeprefix('MGLU_').lower()}{value}" for name, value in self.macros)
        return f"{self.kernel}-nm{self.nm}-{self.dtype}-{self.arch}{tuning}"

    @property
    def defines(self) -> tuple[str, ...]:
        """The ``-D`` options."""
        own = [("MGLU_NM", max(self.nm, 1)), ("MGLU_BF16", int(self.dtype == "bfloat16"))]
        if self.dtype in FORMAT_CODES:
            own.append(("MGLU_FORMAT", FORMAT_CODES[self.dtype]))
        return tuple(f"-D{name}={value}" for name, value in (*own, *self.macros))


def cache_folder() -> Path:
    """Where builds are kept: MGLUBENCH_CACHE, or the user's cache folder."""
    if given := os.environ.get("MGLUBENCH_CACHE"):
        return Path(given)
    try:
        return cache_folder_of_user()
    except OSError as error:
        raise BuildError(f"no folder for compiled kernels: {error}; set MGLUBENCH_CACHE to one") from None


def build(target: Target) -> Path:
    """The library of ``target``, compiled if it is not in the cache.

    Raises:
        UnavailableError: there is no nvcc.
        BuildError: the source or the cache folder is not there, or the compiler's own first error.
    """
    source = data_folder(SOURCES) / f"{target.kernel}.cu"
    if not source.is_file():
        raise BuildError(f"{source}: no such kernel source")
    path = cache_folder() / f"{target.label}-{_digest(target, source)}.so"
    if path.is_file():
        return path
    host = os.environ.get("NVCC_CCBIN", "")
    if why := _failed.get(path) or _refused.get(host):
        raise BuildError(why)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as scratch:
            made = Path(scratch) / path.name
            _compile(target, source, made)
            made.replace(path)
    except BuildError as error:
        _failed[path] = str(error)
        raise
    except OSError as error:
        raise BuildError(f"{path.parent} cannot be written: {error}; set MGLUBENCH_CACHE to another folder") from None
    return path


def build_all(targets: Sequence[Target], workers: int) -> Iterator[tuple[Target, str]]:
    """Build in parallel; yields each target as it is done, with the error's text or an empty one."""
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        jobs = {pool.submit(build, target): target for target in dict.fromkeys(targets)}
        for job in as_completed(jobs):
            error = job.exception()
            if error is not None and not isinstance(error, MglubenchError):
                raise error
            yield jobs[job], "" if error is None else str(error)


def _compile(target: Target, source: Path, made: Path) -> None:
    command = [*_command(target), "-o", str(made), str(source)]
    done = run_process(command, TIMEOUT_SECONDS)
    if done.code is None:
        raise BuildError(f"{source.name}: nvcc took longer than {TIMEOUT_SECONDS} s ({target.label})")
    said = done.err + done.out
    if refusal := _REFUSAL.search(said):
        host = os.environ.get("NVCC_CCBIN", "")
        why = f"nvcc refuses the host compiler{f' {host}' * bool(host)}: {refusal[1]}"
        _refused[host] = why
        raise BuildError(f"{why}; name an older one in NVCC_CCBIN, such as /usr/bin/g++-13, for this and all kernels")
    if done.code != 0 or not made.is_file():
        raise BuildError(f"{source.name}: {first_error(said)} ({target.label})")


def _command(target: Target) -> list[str]:
    nvcc = require_tool("nvcc")
    number = target.arch.removeprefix("sm_")
    # The PyPI compiler does not know where the PyPI runtime library is.
    beside = nvcc.parent.parent / "lib"
    libraries = [f"-L{beside}"] if (beside / "libcudart_static.a").is_file() else []
    return [str(nvcc), *FLAGS, "-gencode", f"arch=compute_{number},code={target.arch}", *target.defines, *libraries]


def _digest(target: Target, source: Path) -> str:
    nvcc = require_tool("nvcc")
    content = hashlib.sha256()
    for part in (*FLAGS, *target.defines, target.arch, compiler_version(nvcc)):
        content.update(part.encode() + b"\0")
    headers = [path for path in source.parent.iterdir() if path.suffix in (".cuh", ".h")]
    for path in (source, *sorted(headers)):
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def first_error(output: str) -> str:
    """The first line of a compiler's output that names an error; its last line if none does."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for before, line in zip(["", *lines], lines, strict=False):
        if "error" in line.lower():
            # The linker's driver says only that it failed; what was missing stands above it.
            return before if before and line.startswith("collect2:") else line
    return lines[-1] if lines else "nvcc failed without a message"
