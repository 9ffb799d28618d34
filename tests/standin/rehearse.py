"""Run a command on the stand-in device: ``python -m tests.standin.rehearse mglubench sweep --device cuda ...``.

The command sees one GPU, named as a stand-in, whose kernels of ``kernels_cuda/`` run by host emulation (slowly: use
shapes such as 256x96). With a CUDA build of torch (2.11 and 2.14 were tried) that is everything above the driver.
Kernels of torch itself (but for fills), of Numba and of Triton are launched, logged and left out: their rows say that y
was never written. No time here says anything about a GPU. Set STANDIN_LOG to a file for a line per launch, graph and
replay.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from mglubench.hardware.cuda_toolchain import find_tool

HERE = Path(__file__).resolve().parent
EMULATION = HERE.parent / "kernels_cuda" / "emu"
CACHE = Path(tempfile.gettempdir()) / f"mglubench-standin-{os.getuid()}"
FLAGS = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]


@dataclass(frozen=True)
class Toolkit:
    """The nvcc that the project would use, and a folder with the headers of CUDA 13's runtime."""

    nvcc: Path
    headers: Path


def toolkit() -> Toolkit | None:
    """What a rehearsal is built with; ``None`` if something of it is not here."""
    from cuda import pathfinder

    nvcc, found = find_tool("nvcc"), pathfinder.find_nvidia_header_directory("cudart")
    header = Path(found) / "cuda_runtime_api.h" if found else None
    # The stand-in has the interface of libcudart.so.13.
    if nvcc is None or header is None or "define CUDART_VERSION  13" not in header.read_text():
        return None
    return Toolkit(nvcc, header.parent)


def libraries(headers: Path) -> Path:
    """Folder of the stand-in's three libraries, built once per content. Raises CalledProcessError."""
    # What is built with these libraries lies beside them: it holds code of the emulation, so that counts as well.
    sources = sorted(
        [*HERE.glob("*.cpp"), *HERE.glob("*.h"), HERE / "exports.map", HERE / "nvcc", *EMULATION.glob("*.*")]
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:24]
    folder = CACHE / digest
    CACHE.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                made = Path(scratch) / "lib"
                made.mkdir()
                _compile(headers, made)
                made.rename(folder)
    return folder


def _compile(headers: Path, made: Path) -> None:
    runtime, driver, nvml = (made / name for name in ("libcudart.so.13", "libcuda.so.1", "libnvidia-ml.so.1"))
    include = ["-I", str(headers), "-I", str(HERE)]
    exports = f"-Wl,--version-script={HERE / 'exports.map'}"
    _link(runtime, [*include, str(HERE / "device.cpp"), str(HERE / "runtime.cpp"), exports, "-ldl"])
    _link(driver, [*include, str(HERE / "driver.cpp"), str(runtime), "-Wl,-rpath,$ORIGIN", "-ldl"])
    _link(nvml, [*include, str(HERE / "nvml.cpp")])
    # What -lcudart and -lcuda look for.
    (made / "libcudart.so").symlink_to(runtime.name)
    (made / "libcuda.so").symlink_to(driver.name)


def _link(library: Path, arguments: list[str]) -> None:
    subprocess.run(["g++", *FLAGS, *arguments, f"-Wl,-soname,{library.name}", "-o", str(library)], check=True)


def environment(tools: Toolkit) -> dict[str, str]:
    """Variables under which a process has the stand-in for its GPU, and its nvcc."""
    built = libraries(tools.headers)
    twins = built / "twins"
    twins.mkdir(exist_ok=True)
    names = ("libcudart.so.13", "libcuda.so.1", "libnvidia-ml.so.1")
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(HERE), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "LD_PRELOAD": " ".join(str(built / name) for name in names),
        "LIBRARY_PATH": str(built),
        "TRITON_LIBCUDA_PATH": str(built),
        "MGLUBENCH_CACHE": str(built / "builds"),
        "MGLUBENCH_TUNING": str(built / "tuning.json"),
        "MGLUBENCH_REPEATS": str(built / "repeats.json"),
        "MGLUBENCH_CEILINGS": str(built / "ceilings.json"),
        "STANDIN_LIBRARIES": str(built),
        "STANDIN_FOLDER": str(twins),
        "STANDIN_NVCC": str(tools.nvcc),
    }


def main() -> None:
    """Replace this process by the command."""
    tools = toolkit()
    if tools is None or len(sys.argv) < 2:
        sys.exit(
            "usage: python -m tests.standin.rehearse COMMAND ..., with CUDA 13's nvcc and headers (the cu13 extra)"
        )
    os.execvpe(sys.argv[1], sys.argv[1:], environment(tools))


if __name__ == "__main__":
    main()
