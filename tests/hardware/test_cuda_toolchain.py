"""Where CUDA's tools are looked for: what the environment names and nothing else; one answer for doctor and build."""

from __future__ import annotations

import pytest

from mglubench.hardware import cuda_toolchain, doctor, nsight
from mglubench.hardware.cuda_toolchain import find_tool, why_cannot_build, why_home_is_odd
from mglubench.system.programs import find_program, folders_in


def program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho release 13.0\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """No tool anywhere but one in the working directory, which nobody named."""
    for name in ("CUDA_HOME", "CUDA_PATH", "NVCC_CCBIN", "MGLUBENCH_NSYS", "MGLUBENCH_NCU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(cuda_toolchain, "_in_packages", lambda name: None)
    program(tmp_path / "here" / "nvcc")
    program(tmp_path / "here" / "bin" / "nvcc")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("path", ["", ":", "/nowhere:", ":/nowhere", "::/nowhere::"])
@pytest.mark.parametrize("home", [None, "", ":", "::", "/gone", "/gone:", ":/gone:/also-gone"])
def test_what_lies_in_the_working_directory_is_never_run(bare, monkeypatch, path, home):
    monkeypatch.setenv("PATH", path)
    if home is not None:
        monkeypatch.setenv("CUDA_HOME", home)
    assert find_tool("nvcc") is None
    assert find_program("nvcc") is None


@pytest.mark.parametrize("variable", ["CUDA_HOME", "CUDA_PATH"])
def test_either_variable_alone_is_enough_for_build_and_doctor_alike(bare, monkeypatch, variable):
    nvcc = program(bare / "cuda" / "bin" / "nvcc")
    monkeypatch.setenv(variable, str(bare / "cuda"))
    monkeypatch.setenv("NVCC_CCBIN", "g++-13")
    assert find_tool("nvcc") == nvcc
    assert why_cannot_build() is None
    assert (doctor._nvcc().status, doctor._nvcc().detail) == ("ok", f"{nvcc} (release 13.0)")


def test_a_folder_with_a_colon_is_one_folder_and_two_folders_are_two(bare, monkeypatch):
    colon, second = program(bare / "cuda:13" / "bin" / "nvcc"), program(bare / "second" / "bin" / "nvcc")
    program(bare / "cuda" / "nvcc")
    monkeypatch.setenv("CUDA_HOME", str(bare / "cuda:13"))
    assert find_tool("nvcc") == colon
    monkeypatch.setenv("CUDA_HOME", f"{bare / 'gone'}:{bare / 'second'}")
    assert find_tool("nvcc") == second
    assert why_home_is_odd() == f"CUDA_HOME names 2 folders ({bare / 'gone'}:{bare / 'second'}); each is looked into"
    monkeypatch.setenv("NVCC_CCBIN", "g++-13")
    assert doctor._nvcc().advice == why_home_is_odd()


def test_a_home_that_is_gone_is_named_by_build_and_doctor_alike(bare, monkeypatch):
    monkeypatch.setenv("CUDA_HOME", "/gone")
    why = why_cannot_build()
    assert why == (
        "nvcc is not on PATH, not in CUDA_HOME and not among the installed packages; "
        "CUDA_HOME names /gone, which is not there"
    )
    assert doctor._nvcc().detail == why
    monkeypatch.setenv("CUDA_PATH", str(program(bare / "cuda" / "bin" / "nvcc").parent.parent))
    assert find_tool("nvcc") == bare / "cuda" / "bin" / "nvcc"


def test_a_compiler_without_a_host_compiler_is_broken_for_both(bare, monkeypatch):
    program(bare / "cuda" / "bin" / "nvcc")
    monkeypatch.setenv("CUDA_HOME", str(bare / "cuda"))
    monkeypatch.setenv("NVCC_CCBIN", "")
    assert why_cannot_build() == "nvcc needs a host compiler and g++ is not on PATH"
    assert doctor._nvcc().status == "broken"
    assert "NVCC_CCBIN" in doctor._nvcc().advice


def test_a_folder_is_no_program_and_neither_is_a_file_that_may_not_be_run(bare):
    (bare / "x" / "tool").mkdir(parents=True)
    (bare / "y").mkdir()
    (bare / "y" / "tool").write_text("")
    assert find_program("tool", [str(bare / "x"), str(bare / "y")]) is None
    assert folders_in("") == folders_in(":") == []


def test_doctor_and_profiler_look_for_nsight_in_the_same_places(bare, monkeypatch):
    assert nsight.find_nsys() is None
    assert doctor._nsys().status == "absent"
    nsys = program(bare / "nsight" / "2025.1" / "bin" / "nsys")
    monkeypatch.setattr(nsight, "NSYS_PLACES", (f"{bare}/nsight/*/bin",))
    assert nsight.find_nsys() == str(nsys)
    assert doctor._nsys().status == "ok"
    monkeypatch.setenv("MGLUBENCH_NSYS", "/named/nsys")
    assert nsight.find_nsys() == "/named/nsys"
