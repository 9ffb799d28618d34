"""``build``, ``inspect`` and ``tune`` as a person calls them, with a stand-in compiler; refusals in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mglubench.hardware import cuda_toolchain
from tests.conftest import Result

Cli = Callable[..., Result]

COMPILER = """#!/bin/sh
if [ "$1" = --version ]; then echo "stand-in"; exit 0; fi
all="$*"
while [ $# -gt 0 ]; do [ "$1" = -o ] && out="$2"; shift; done
case "$all" in *sm_120a*) echo "x.cu(1): error: no such target" >&2; exit 1;; esac
echo "$all" > "$out"
"""
CUOBJDUMP = """#!/bin/sh
case "$1" in
-sass) cat "{recorded}";;
*) printf ' Function %s:\\n  REG:14 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:564\\n' "{name}";;
esac
"""
RECORDED = Path(__file__).resolve().parent.parent / "kernels" / "recorded" / "row_dots.sass"
NAME = "_ZN4demo8row_dotsILi1ELb1EEEvPK5uint4PK6__halfPViPfi"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-in nvcc and cuobjdump on PATH, an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("nvcc", COMPILER), ("cuobjdump", CUOBJDUMP.format(recorded=RECORDED, name=NAME))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_build_compiles_every_combination_once(cli: Cli, tools: Path) -> None:
    done = cli("build", "--arch", "sm_80,sm_90a", "--nm", "1,8", "--dtype", "fp16", "--variants", "flash-mglu-mma")
    assert (done.code, done.out) == (0, "")
    assert "4 of 4 libraries" in done.err
    assert len(list(tools.iterdir())) == 4
    assert cli("build", "--arch", "sm_80,sm_90a", "--nm", "1,8", "--dtype", "fp16").code == 0
    # mma, packed, paper: 2 archs x 2 nm; bulk: not for sm_80; swiglu and stream: no nm.
    assert len(list(tools.iterdir())) == 3 * 4 + 2 + 2 * 2


def test_build_reports_each_failure_and_goes_on(cli: Cli, tools: Path) -> None:
    options = ("--nm", "1", "--dtype", "fp16", "--variants", "stream-read-cuda")
    done = cli("build", "--arch", "sm_80,sm_120a", *options)
    assert done.code == 1
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: stream_read.cu: x.cu(1): error: no such target (stream_read-nm0-float16-sm_120a)"]
    assert len(list(tools.iterdir())) == 1


def test_inspect_lists_what_is_known(cli: Cli, tools: Path) -> None:
    done = cli("inspect", "flash-mglu-mma", "--arch", "sm_90a", "--nm", "8", "--json")
    assert done.code == 0
    (row,) = json.loads(done.out)
    assert (row["kernel"], row["registers"], row["local_bytes"], row["entry"]) == ("row_dots<1,1>", 14, 0, False)
    table = cli("inspect", "flash-mglu-mma", "--markdown")
    assert "| flash-mglu-mma | sm_90a | 8 | float16 | row_dots&lt;1,1> | 14 | 0 |" in table.out


def test_inspect_shows_what_does_not_compile(cli: Cli, tools: Path) -> None:
    done = cli("inspect", "flash-mglu-mma", "--arch", "sm_120a")
    assert done.code == 1
    assert "no such target" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "--arch", "hopper"), "unknown architecture 'hopper'"),
        (("build", "--arch", "sm_75"), "nothing is known about the limits of sm_75"),
        (("build", "--arch", ""), "arch has an empty entry"),
        (("build", "--nm", "9"), "nm must be 1 to 8 or 16, got 9"),
        (("build", "--nm", "two"), "nm must be a whole number"),
        (("build", "--dtype", "float32"), "nothing to build"),
        (("build", "--variants", "swiglu"), "no launch choices"),
        (("build", "--variants", "flash-mglu-mm"), "did you mean flash-mglu-mma"),
        (("build", "--jobs", "0"), "--jobs"),
        (("inspect", "swiglu"), "has no kernel to inspect"),
        (("inspect", "flash-mglu-mma", "--dtype", "float32"), "has no kernel for sm_90a, nm=8 and float32"),
        (("inspect", "flash-mglu-bulk", "--arch", "sm_80"), "has no kernel for sm_80"),
        (("inspect", "flash-mglu-mma", "--json", "--markdown"), "choose one of"),
        (("tune", "--variants", "swiglu"), "no launch choices"),
        (("tune", "--variants", "flash-mglu-mma", "--device", "cpu"), "flash-mglu-mma: runs on cuda only"),
        (("tune", "--device", "cpu", "--mode", "hot"), "mode hot is not tuned for on a CPU"),
        (("build", "--variants", "mglu-numba-cpu"), "nothing to build"),
        (("tune", "--shape", "2048"), "is not HxD"),
        (("tune", "--seconds", "0"), "--seconds"),
    ],
)
def test_bad_values_are_one_line_and_exit_code_2(cli: Cli, tools: Path, arguments: tuple[str, ...], words: str) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert words in done.err
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) == 1
    assert done.out == ""


def test_tune_without_a_gpu_is_one_line(cli: Cli) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = cli("tune", "--variants", "flash-mglu-mma", "--shape", "2048x8192", "--nm", "8")
    assert done.code == 2
    assert done.err.startswith("error: no CUDA device can be used here")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["build", "inspect"])
def test_without_a_compiler_it_is_one_line(cli: Cli, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_toolchain, "find_tool", lambda name: None)
    done = cli(command)
    assert done.code == 2
    assert "nvcc is not on PATH" in done.err
    assert "pip install mglubench[cu13]" in done.err
    assert len(done.err.splitlines()) == 1


def test_variants_lists_the_kernels_without_a_gpu(cli: Cli) -> None:
    rows = {row["name"]: row for row in json.loads(cli("variants", "--device", "cuda", "--json").out)}
    names = ["stream-read-cuda", "swiglu-fused", "mglu-numba-packed", "flash-mglu-triton", "flash-mglu-mma"]
    assert [name for name in rows if name in names] == names
    for name in names:
        assert rows[name]["devices"] == "cuda"
