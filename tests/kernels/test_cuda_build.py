"""The build cache with a stand-in compiler: what makes a new build, what a failure leaves, two builders at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mglubench.errors import BuildError, UnavailableError, UsageError
from mglubench.hardware import cuda_toolchain
from mglubench.kernels import cuda_build
from mglubench.kernels.cuda_build import Target, build, build_all, first_error

# Writes its arguments to the output file, once so many of its kind have started; "broken" sources do not compile.
COMPILER = """#!/bin/sh
if [ "$1" = --version ]; then echo "stand-in compiler {version}"; exit 0; fi
echo run >> "{log}"
all="$*"
while [ $# -gt 0 ]; do case "$1" in -o) out="$2"; shift;; *.cu) source="$1";; esac; shift; done
tries=0
while [ $(wc -l < "{log}") -lt {together} ] && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
if grep -q broken "$source"; then
  echo "half a library" > "$out"
  echo "ptxas warning : something else" >&2
  echo "$source(7): error: identifier \\"frobnicate\\" is undefined" >&2
  echo "1 error detected" >&2
  exit 1
fi
echo "$all" > "$out"
"""
TARGET = Target("kernel", 2, "float16", "sm_90a")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a kernel and a header, a stand-in compiler on PATH, an empty cache."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "kernel.cu").write_text("kernel")
    (folder / "header.cuh").write_text("header")
    install_compiler(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cuda_build, "data_folder", lambda name: folder)
    cuda_toolchain.compiler_version.cache_clear()
    yield folder
    cuda_toolchain.compiler_version.cache_clear()


def install_compiler(folder: Path, version: str = "1.0", together: int = 1) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    compiler = folder / "bin" / "nvcc"
    compiler.write_text(COMPILER.format(version=version, together=together, log=folder / "log"))
    compiler.chmod(0o755)


def runs(folder: Path) -> int:
    log = folder / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_library_is_compiled_once_with_its_specialisation(sources: Path, tmp_path: Path) -> None:
    path = build(TARGET)
    assert build(TARGET) == path
    assert runs(tmp_path) == 1
    command = path.read_text()
    assert "arch=compute_90a,code=sm_90a" in command
    assert "-DMGLU_NM=2" in command
    assert "-DMGLU_BF16=0" in command
    assert path.parent == tmp_path / "cache"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "other",
    [
        Target("kernel", 3, "float16", "sm_90a"),
        Target("kernel", 2, "bfloat16", "sm_90a"),
        Target("kernel", 2, "float16", "sm_80"),
        Target("kernel", 2, "float16", "sm_90a", (("MGLU_WARPS", 8),)),
    ],
)
def test_each_specialisation_is_a_build_of_its_own(sources: Path, other: Target) -> None:
    assert build(TARGET) != build(other)


def test_a_changed_source_header_or_compiler_is_a_new_build(sources: Path, tmp_path: Path) -> None:
    paths = [build(TARGET)]
    (sources / "kernel.cu").write_text("kernel 2")
    paths.append(build(TARGET))
    (sources / "header.cuh").write_text("header 2")
    paths.append(build(TARGET))
    (sources / "more.h").write_text("")
    paths.append(build(TARGET))
    install_compiler(tmp_path, version="2.0")
    cuda_toolchain.compiler_version.cache_clear()
    paths.append(build(TARGET))
    (sources / "notes.md").write_text("not a source")
    (sources / "other.cu").write_text("another kernel")
    assert len(set(paths)) == 5
    assert build(TARGET) == paths[-1]


def test_a_failed_build_says_why_and_leaves_nothing(sources: Path, tmp_path: Path) -> None:
    (sources / "kernel.cu").write_text("broken")
    with pytest.raises(BuildError) as failed:
        build(TARGET)
    assert 'kernel.cu(7): error: identifier "frobnicate" is undefined' in str(failed.value)
    assert "kernel-nm2-float16-sm_90a" in str(failed.value)
    assert "\n" not in str(failed.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_failed_once_fails_again_without_a_compilation(sources: Path, tmp_path: Path) -> None:
    (sources / "kernel.cu").write_text("broken")
    messages = []
    for _ in range(2):
        with pytest.raises(BuildError) as failed:
            build(TARGET)
        messages.append(str(failed.value))
    assert messages[0] == messages[1]
    assert runs(tmp_path) == 1
    (sources / "kernel.cu").write_text("mended")
    assert build(TARGET).is_file()


def test_a_compiler_that_takes_too_long_goes_with_all_that_it_started(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "nvcc"
    slow.write_text(f'[ "$1" = --version ] || {{ sleep 600 & echo $! > "{tmp_path}/pid"; wait; }}\n')
    slow.write_text(f"#!/bin/sh\n{slow.read_text()}")
    monkeypatch.setattr(cuda_build, "TIMEOUT_SECONDS", 1)
    with pytest.raises(BuildError, match=r"^kernel\.cu: nvcc took longer than 1 s \(kernel-nm2-float16-sm_90a\)$"):
        build(TARGET)
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int((tmp_path / "pid").read_text())).status() == psutil.STATUS_ZOMBIE


def test_two_processes_may_build_the_same_at_once(sources: Path, tmp_path: Path) -> None:
    install_compiler(tmp_path, together=2)
    program = (
        "import sys; from pathlib import Path; from mglubench.kernels import cuda_build; "
        f"cuda_build.data_folder = lambda name: Path({str(sources)!r}); "
        "print(cuda_build.build(cuda_build.Target('kernel', 2, 'float16', 'sm_90a')))"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    made = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(made) == 1
    assert [str(file) for file in (tmp_path / "cache").iterdir()] == list(made)
    assert runs(tmp_path) == 2, "both were under way at the same time"


def test_build_all_yields_every_target_with_its_error(sources: Path) -> None:
    (sources / "bad.cu").write_text("broken")
    targets = [TARGET, Target("bad", 1, "float16", "sm_80"), TARGET]
    results = dict(build_all(targets, workers=2))
    assert results[TARGET] == ""
    assert "frobnicate" in results[targets[1]]
    assert len(results) == 2


REFUSING = """#!/bin/sh
if [ "$1" = --version ]; then echo "stand-in compiler 2.0"; exit 0; fi
echo run >> "{log}"
echo "/cuda/include/crt/host_config.h:143:2: error: #error -- unsupported GNU version! gcc versions later than 14 \
are not supported! The nvcc flag '-allow-unsupported-compiler' can be used to override this version check" >&2
exit 1
"""


def test_a_host_compiler_that_nvcc_refuses_is_tried_once_and_the_advice_given_once(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_build, "_refused", {})
    monkeypatch.setattr(cuda_build, "_failed", {})
    monkeypatch.delenv("NVCC_CCBIN", raising=False)
    (tmp_path / "bin" / "nvcc").write_text(REFUSING.format(log=tmp_path / "log"))
    said = []
    for nm in (1, 2, 4):
        with pytest.raises(BuildError) as caught:
            build(Target("kernel", nm, "float16", "sm_90a"))
        said.append(str(caught.value))
    why = "nvcc refuses the host compiler: gcc versions later than 14 are not supported"
    assert said == [
        f"{why}; name an older one in NVCC_CCBIN, such as /usr/bin/g++-13, for this and all kernels",
        why,
        why,
    ]
    assert runs(tmp_path) == 1
    monkeypatch.setenv("NVCC_CCBIN", "g++-12")
    with pytest.raises(BuildError, match=r"refuses the host compiler g\+\+-12: gcc"):
        build(TARGET)
    assert runs(tmp_path) == 2


def test_what_is_not_there_is_named(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BuildError, match="no such kernel source"):
        build(Target("absent", 1, "float16", "sm_80"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(BuildError, match="set MGLUBENCH_CACHE to another folder"):
        build(TARGET)


def test_without_a_compiler_the_reason_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setattr(cuda_toolchain, "_in_packages", lambda name: None)
    assert (
        cuda_toolchain.why_cannot_build()
        == "nvcc is not on PATH, not in CUDA_HOME and not among the installed packages"
    )
    with pytest.raises(UnavailableError, match=r"pip install mglubench\[cu13\]"):
        build(Target("stream_read", 0, "float16", "sm_80"))
    (tmp_path / "home" / "bin").mkdir(parents=True)
    tool = tmp_path / "home" / "bin" / "nvcc"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    assert cuda_toolchain.find_tool("nvcc") == tool
    assert cuda_toolchain.why_cannot_build() == "nvcc needs a host compiler and g++ is not on PATH"


def test_architecture_names() -> None:
    assert cuda_toolchain.architecture_name("90a") == "sm_90a"
    assert cuda_toolchain.architecture_name("SM_100a") == "sm_100a"
    assert cuda_toolchain.capability("sm_120a") == 120
    assert [cuda_toolchain.architecture_of(*pair) for pair in ((8, 0), (8, 9), (9, 0), (10, 0))] == [
        "sm_80",
        "sm_89",
        "sm_90a",
        "sm_100a",
    ]
    with pytest.raises(UsageError, match="sm_90a"):
        cuda_toolchain.architecture_name("hopper")


def test_first_error_skips_warnings_and_falls_back_to_the_last_line() -> None:
    assert first_error("note\nwarning: x\na.cu(3): error: y\nmore error") == "a.cu(3): error: y"
    assert first_error("one\ntwo\n") == "two"
    assert first_error("/usr/bin/ld: cannot find -lx\ncollect2: error: ld returned 1") == "/usr/bin/ld: cannot find -lx"
    assert first_error("") == "nvcc failed without a message"


@pytest.mark.skipif(cuda_toolchain.why_cannot_build() is not None, reason=str(cuda_toolchain.why_cannot_build()))
@pytest.mark.parametrize("packaged", [False, True])
def test_a_real_compiler_makes_a_loadable_library(
    packaged: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mglubench.kernels.cuda_library import KernelLibrary

    if packaged:
        tool = cuda_toolchain._in_packages("nvcc")
        if tool is None:
            pytest.skip("nvcc is not among the installed packages")
        others = [path for path in os.environ["PATH"].split(":") if not (Path(path) / "nvcc").exists()]
        (tmp_path / "bin").mkdir()
        for name in ("g++", "gcc", "as", "ld", "sh"):
            if found := shutil.which(name):
                (tmp_path / "bin" / name).symlink_to(found)
        monkeypatch.setenv("PATH", ":".join([str(tmp_path / "bin"), *others]))
        monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path / "cache"))
    library = KernelLibrary(build(Target("stream_read", 0, "bfloat16", "sm_90a")))
    assert library.mask_layout == ""
