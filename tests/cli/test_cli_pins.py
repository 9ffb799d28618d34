"""The static gate as a person and a CI job call it, with a stand-in compiler: exit codes, pins kept, refusals."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli_kernels import COMPILER, CUOBJDUMP, NAME, RECORDED
from tests.conftest import Result

Cli = Callable[..., Result]
MMA = ("inspect", "flash-mglu-mma")


class Tools:
    """A compiler and a cuobjdump whose version and findings can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.be()

    def be(self, *, version: str = "13.0.88", registers: int = 14, spilled: int = 0) -> None:
        compiler = COMPILER.replace('"stand-in"', f'"Cuda compilation tools, release 13.0, V{version}"')
        dump = CUOBJDUMP.format(recorded=RECORDED, name=NAME)
        dump = dump.replace("REG:14 STACK:0", f"REG:{registers} STACK:{spilled}")
        for name, text in (("nvcc", compiler), ("cuobjdump", dump)):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    from mglubench.hardware.cuda_toolchain import compiler_version

    made = Tools(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path / "cache"))
    forget = compiler_version.cache_clear
    forget()
    was = made.be

    def be(**values: Any) -> None:
        was(**values)
        forget()

    monkeypatch.setattr(made, "be", be)
    return made


def fates(done: Result) -> list[str]:
    return [kernel["fate"] for kernel in json.loads(done.out)["kernels"]]


def test_what_is_pinned_is_found_again(cli: Cli, tools: Tools) -> None:
    saved = cli(*MMA, "--nm", "1,8", "--save", "pins.json")
    assert saved.code == 0
    assert "2 kernels pinned in pins.json" in saved.err
    pinned = json.loads(Path("pins.json").read_text())
    assert [(row["nm"], row["compiler"]) for row in pinned["rows"]] == [(1, "13.0.88"), (8, "13.0.88")]
    again = cli(*MMA, "--against", "pins.json")
    assert (again.code, again.out) == (0, "every kernel is as it was pinned\n")
    assert "2 kernels: 2 same; compiler 13.0.88" in again.err
    narrowed = cli(*MMA, "--nm", "8", "--against", "pins.json", "--json")
    assert (narrowed.code, fates(narrowed)) == (0, ["same"])
    assert json.loads(narrowed.out)["left_out"] == 1


def test_a_spill_and_more_registers_are_exit_code_3(cli: Cli, tools: Tools) -> None:
    cli(*MMA, "--save", "pins.json")
    tools.be(spilled=8)
    spilled = cli(*MMA, "--against", "pins.json")
    assert spilled.code == 3
    assert "spilled bytes 0 -> 8" in spilled.out
    tools.be(registers=40)
    more = cli(*MMA, "--against", "pins.json", "--markdown")
    assert more.code == 3
    assert "| regression | flash-mglu-mma | sm_90a | 8 | float16 | row_dots&lt;1,1> | registers 14 -> 40 |" in more.out
    tools.be(registers=15)
    within = cli(*MMA, "--against", "pins.json", "--json")
    assert (within.code, fates(within)) == (0, ["worse"])
    tools.be(registers=8)
    better = cli(*MMA, "--against", "pins.json", "--json")
    assert (better.code, fates(better)) == (0, ["better"])


def test_another_compiler_or_architecture_is_exit_code_4(cli: Cli, tools: Tools) -> None:
    cli(*MMA, "--save", "pins.json")
    other = cli(*MMA, "--arch", "sm_100a", "--against", "pins.json", "--json")
    assert (other.code, fates(other)) == (4, ["incomparable"])
    tools.be(version="13.1.2")
    newer = cli(*MMA, "--against", "pins.json")
    assert newer.code == 4
    assert "pinned with compiler 13.0.88, compiled with 13.1.2" in newer.out
    tools.be(version="13.1.2", spilled=4)
    assert cli(*MMA, "--against", "pins.json").code == 3


def test_a_pinned_kernel_that_is_gone_is_exit_code_4(cli: Cli, tools: Tools) -> None:
    cli(*MMA, "--save", "pins.json")
    text = Path("pins.json").read_text()
    Path("pins.json").write_text(text.replace("flash-mglu-mma", "flash-mglu-gone"))
    gone = cli("inspect", "--against", "pins.json", "--json")
    assert gone.code == 4
    assert fates(gone)[0] == "gone"
    assert set(fates(gone)[1:]) == {"new"}


def test_a_kernel_that_does_not_compile_is_exit_code_1_and_never_pinned(cli: Cli, tools: Tools) -> None:
    done = cli(*MMA, "--arch", "sm_90a,sm_120a", "--save", "pins.json")
    assert done.code == 1
    assert "nothing is pinned in pins.json: not every kernel can be inspected" in done.err
    assert not Path("pins.json").exists()
    assert cli(*MMA, "--save", "pins.json").code == 0
    failed = cli(*MMA, "--arch", "sm_90a,sm_120a", "--against", "pins.json", "--json")
    assert (failed.code, fates(failed)) == (1, ["error", "same"])


def test_pins_are_replaced_on_purpose_only(cli: Cli, tools: Tools) -> None:
    cli(*MMA, "--save", "pins.json")
    before = Path("pins.json").read_bytes()
    tools.be(registers=40)
    refused = cli(*MMA, "--save", "pins.json")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "error: pins.json is there already; --force pins it anew\n"
    assert Path("pins.json").read_bytes() == before
    assert cli(*MMA, "--save", "pins.json", "--force").code == 0
    assert cli(*MMA, "--against", "pins.json").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--against", "none.json"), "there are no pins in none.json"),
        (("--against", "none.json", "--save", "x.json"), "choose one of --save and --against"),
        (("--against", "."), "cannot be read"),
        (("--save", "."), "it is a folder"),
        (("--save", "no/folder/pins.json"), "is no folder"),
        (("--against", "broken.json"), "holds no pins"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, tools: Tools, arguments: tuple[str, ...], words: str) -> None:
    Path("broken.json").write_text("{")
    before = {path.name for path in Path().iterdir()}
    done = cli(*MMA, *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert {path.name for path in Path().iterdir()} == before
