"""Run a command on the stand-in device: ``python -m tests.standin.rehearse mglubench sweep --device cuda ...``.

The command sees one GPU, named as a stand-in, whose kernels of ``kernels_cuda/`` run by host emulation (slowly: use
shapes such as 256x96). With a CUDA build of torch that is everything above the driver. Kernels of torch itself (but for
fills), of Numba and of Triton are launched, logged and left out: their rows say that y was never written. No time here
says anything about a GPU. Set STANDIN_LOG to a file for a line per launch, graph and replay.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).resolve().parent
EMULATION = HERE.parent / "kernels_cuda" / "emu"
CACHE = Path(tempfile.gettempdir()) / f"mglubench-standin-{os.getuid()}"
FLAGS = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]


def toolkit() -> Path | None:
    """Folder of the PyPI toolkit with its headers and nvcc, if the ``cu13`` extra is installed."""
    found = find_spec("nvidia")
    for folder in found.submodule_search_locations or [] if found else []:
        root = Path(folder) / "cu13"
        if (root / "include" / "cuda_runtime_api.h").is_file() and (root / "bin" / "nvcc").is_file():
            return root
    return None


def libraries(root: Path) -> Path:
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
                _compile(root, made)
                made.rename(folder)
    return folder


def _compile(root: Path, made: Path) -> None:
    runtime, driver, nvml = (made / name for name in ("libcudart.so.13", "libcuda.so.1", "libnvidia-ml.so.1"))
    include = ["-I", str(root / "include"), "-I", str(HERE)]
    exports = f"-Wl,--version-script={HERE / 'exports.map'}"
    _link(runtime, [*include, str(HERE / "device.cpp"), str(HERE / "runtime.cpp"), exports, "-ldl"])
    _link(driver, [*include, str(HERE / "driver.cpp"), str(runtime), "-Wl,-rpath,$ORIGIN", "-ldl"])
    _link(nvml, [*include, str(HERE / "nvml.cpp")])
    # What -lcudart and -lcuda look for.
    (made / "libcudart.so").symlink_to(runtime.name)
    (made / "libcuda.so").symlink_to(driver.name)


def _link(library: Path, arguments: list[str]) -> None:
    subprocess.run(["g++", *FLAGS, *arguments, f"-Wl,-soname,{library.name}", "-o", str(library)], check=True)


def environment(root: Path) -> dict[str, str]:
    """Variables under which a process has the stand-in for its GPU, and its nvcc."""
    built = libraries(root)
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
        "MGLUBENCH_CEILINGS": str(built / "ceilings.json"),
        "STANDIN_LIBRARIES": str(built),
        "STANDIN_FOLDER": str(twins),
        "STANDIN_NVCC": str(root / "bin" / "nvcc"),
    }


def main() -> None:
    """Replace this process by the command."""
    root = toolkit()
    if root is None or len(sys.argv) < 2:
        sys.exit("usage: python -m tests.standin.rehearse COMMAND ..., with the cu13 extra installed")
    os.execvpe(sys.argv[1], sys.argv[1:], environment(root))


if __name__ == "__main__":
    main()
