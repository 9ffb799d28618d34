"""Kept machine code: found again instead of compiled, never another kernel's, never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numba.core import compiler

from mglubench.kernels import kept_code
from mglubench.kernels.cpu_layers import mglu_layer, row_sums
from mglubench.kernels.cpu_rows import RowShape

# A process that has no compiler left, and needs none.
WITHOUT_COMPILER = """
import numpy as np
from numba.core import compiler
from mglubench.kernels.cpu_layers import row_sums

def refuse(*_, **__):
    raise SystemExit("compiled")

layer = row_sums("float32")
compiler.compile_extra = compiler.compile_ir = refuse
out = np.zeros(4, np.float32)
layer(np.ones((4, 32), np.float32), np.ones(32, np.float32), out, 2)
assert out.tolist() == [32.0] * 4, out
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where code is kept; nothing is there yet, and this process has compiled nothing."""
    monkeypatch.setenv("MGLUBENCH_CACHE", str(tmp_path))
    forget()
    yield tmp_path / kept_code.FOLDER
    forget()


def forget() -> None:
    """As a new process would begin."""
    for remembered in (kept_code._toolchain, row_sums, mglu_layer):
        remembered.cache_clear()


def sums_are_right() -> bool:
    out = np.zeros(4, np.float32)
    row_sums("float32")(np.ones((4, 32), np.float32), np.ones(32, np.float32), out, 2)
    return out.tolist() == [32.0] * 4


def count_compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Functions that Numba compiles from now on."""
    seen: list[str] = []
    compile_extra = compiler.compile_extra

    def counted(*args, **options):
        seen.append(args[2].__name__)
        return compile_extra(*args, **options)

    monkeypatch.setattr(compiler, "compile_extra", counted)
    return seen


def test_another_process_finds_the_code(folder: Path) -> None:
    assert sums_are_right()
    assert len(list(folder.iterdir())) == 2
    subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], check=True)


def test_kernels_of_the_same_types_do_not_find_each_other_s_code(folder: Path) -> None:
    rng = np.random.default_rng(0)
    weight, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 32), (1, 32)))
    answers = []
    for _ in ("compiled", "kept"):
        forget()
        for nm in (1, 2):
            y = np.zeros((1, 3), np.float32)
            # Masks of ones: all goes to the gates, and relu(gate) (total - gate) is 0; of zeros all is 0 as well.
            masks = np.full(3 * 2 * nm, 0x0F0F, np.uint16)
            mglu_layer(RowShape(nm, 1, "float32"), "relu")(weight, masks, x, y, 2)
            answers.append(y.ravel())
    chosen = np.tile([True] * 4 + [False] * 4, 4)
    gate, value = (np.sum(weight * x * half, axis=1) for half in (chosen, ~chosen))
    once = np.maximum(gate, 0) * value
    for got, expected in zip(answers, (once, 2 * once) * 2, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_damaged_code_is_compiled_again_and_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sums_are_right()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    seen = count_compilations(monkeypatch)
    for compiled in (True, False):
        forget()
        seen.clear()
        assert sums_are_right()
        assert bool(seen) == compiled


def test_a_folder_that_cannot_be_is_no_reason_to_fail(folder: Path) -> None:
    folder.write_text("a file where the folder would be")
    assert sums_are_right()


def test_no_home_is_no_reason_to_fail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise PermissionError("not this user's own")

    monkeypatch.setattr(kept_code, "cache_folder", refuse)
    assert sums_are_right()
    assert not folder.exists()


def test_code_of_other_sources_or_settings_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {kept_code._toolchain()}
    changed = folder.parent / "sources"
    shutil.copytree(kept_code.SOURCES, changed)
    monkeypatch.setattr(kept_code, "SOURCES", changed)
    kept_code._toolchain.cache_clear()
    assert kept_code._toolchain() in names
    with (changed / "numba_cpu_ir.py").open("a") as file:
        file.write("# one more line\n")
    kept_code._toolchain.cache_clear()
    names.add(kept_code._toolchain())
    monkeypatch.setenv("NUMBA_OPT", "1")
    kept_code._toolchain.cache_clear()
    names.add(kept_code._toolchain())
    assert len(names) == 3


def test_without_sources_to_tell_versions_apart_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_code, "SOURCES", folder.parent / "nowhere")
    assert sums_are_right()
    assert not list(folder.glob("*.nbc"))


def test_the_oldest_code_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_code, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / str(number)).touch()
        os.utime(tmp_path / str(number), (number, number))
    kept_code._prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "4"]
