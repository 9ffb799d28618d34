"""An axis is one field of one file: what follows from it, and what a new one brings with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from mglubench.cases.axes import AXES, SHARED, Coordinates
from mglubench.cases.case import Case, Setting
from mglubench.cases.config import KNOWN
from mglubench.results.frame import CASE_COLUMNS
from tests.conftest import ROOT, Result

INVENTED = """    twist: Annotated[int, Axis(whole(0, 9), "Twists of the masks. (default: 0)", walked=(0,))] = 0

"""
OLD = ROOT / "tests" / "fixtures" / "run_a33161e_real"


def test_key_setting_columns_and_options_come_of_the_axes():
    case = Case("lu", 8, 4, batch=3, dtype="float16", seed=7)
    assert case.key == "lu/8x4/nm0/b3/float16/silu/none/cold/cpu/seed7"
    assert case.setting == Setting.of(case.to_dict()) == Case("swiglu", 8, 4, batch=3, dtype="float16", seed=7).setting
    assert case.setting.title() == "h=8 d=4, 3 tokens, float16, silu, cold on cpu"
    assert tuple(case.to_dict()) == CASE_COLUMNS == tuple(AXES)
    assert {axis.given_as for axis in AXES.values()} <= set(KNOWN)
    assert set(AXES) - set(SHARED) == {"variant", "nm", "mask"}


def test_a_row_without_a_younger_axis_has_its_default():
    case = Case("lu", 8, 4)
    values = case.to_dict()
    del values["seed"], values["mode"]
    assert Case.from_dict(values) == case


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A command line of a copy of the package that has one axis more, which nothing but ``axes.py`` names."""
    folder = tmp_path_factory.mktemp("extended")
    for name in ("mglubench", "sweeps", "kernels_cuda"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "mglubench" / "cases" / "axes.py"
    before, mark, after = file.read_text().partition("    def value(self, axis: str)")
    assert mark
    file.write_text(before + INVENTED + mark + after)

    def call(*words):
        return mglubench(folder, work, *words)

    work = call.folder = folder / "work"
    work.mkdir()
    return call


def mglubench(package, cwd, *words) -> Result:
    """The command line of the package in a folder, which is not the working directory."""
    command, env = [sys.executable, "-m", "mglubench", *words], {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr)


SWEEP = ("sweep", "--executor", "fake", "--no-ceiling", "--h", "64", "--d", "96", "--nm", "1")


def test_an_invented_axis_is_an_option_a_key_a_column_and_a_setting(extended):
    assert "Twists of the masks." in extended("sweep", "--help").out
    assert "Twists of the masks." in extended("profile", "--help").out
    swept = extended(*SWEEP, "--variants", "swiglu,mglu-naive", "--twist", "0,3", "--out", "run")
    assert swept.code == 0, swept.err
    assert swept.out.count("Latency and speed-up: h=64 d=96, 1 token, float32, silu, cold on cpu, twist 3") == 1
    rows = [json.loads(line) for line in (extended.folder / "run" / "rows.jsonl").read_text().splitlines()]
    assert [(row["case"]["twist"], row["key"].rpartition("/")[2]) for row in rows] == [
        (0, "seed0"),
        (0, "seed0"),
        (3, "twist-3"),
        (3, "twist-3"),
    ]
    header, *lines = extended("report", "run", "--csv").out.splitlines()
    assert len(lines) == 4
    assert "twist" in header.split(",")


def test_an_invented_axis_is_a_key_of_sweep_files_and_checked(extended):
    (extended.folder / "mine.toml").write_text("twist = [1, 2]\n")
    listed = extended(*SWEEP, "--variants", "lu", "--config", "mine.toml", "--dry-run")
    assert [line.rpartition("/")[2] for line in listed.out.splitlines()] == ["twist-1", "twist-2"]
    refused = extended(*SWEEP, "--twist", "10")
    assert (refused.code, "twist is 10; allowed: 0 to 9" in refused.err) == (2, True)


def test_a_run_of_before_an_axis_loads_and_resumes(extended):
    shown = extended("report", str(OLD), "--csv")
    header, *lines = shown.out.splitlines()
    column = header.split(",").index("twist")
    assert lines
    assert {line.split(",")[column] for line in lines} == {"0"}
    words = (*SWEEP, "--variants", "lu,mglu-naive", "--out", "old")
    assert mglubench(ROOT, extended.folder, *words).code == 0
    before = (extended.folder / "old" / "rows.jsonl").read_bytes()
    resumed = extended(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert (extended.folder / "old" / "rows.jsonl").read_bytes() == before
    assert b"twist" not in before


def test_coordinates_say_what_their_axes_are():
    assert all(name in (Coordinates.__doc__ or "") for name in AXES)
    assert all(axis.help for axis in AXES.values())
