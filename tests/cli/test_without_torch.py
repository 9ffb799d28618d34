"""Who only reads runs needs neither torch nor numba nor NVML: the commands that measure nothing work without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest

from mglubench.results.store import RunStore
from tests.conftest import ROOT, make_header, make_row, run_command

BLOCKED = ("torch", "numba", "numba_cuda", "pynvml", "triton", "nvtx")
DRIVER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from mglubench.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["mglubench", *line.split()]
    try:
        main()
    except SystemExit as left:
        print(f"EXIT {left.code} {line}", file=sys.stderr)
"""


@pytest.fixture
def here(tmp_path):
    """Two runs that may be compared, and one on a GPU that a report belongs to."""
    same = {"nm": 0, "h": 4096, "d": 14336, "dtype": "float16", "mode": "cold", "device": "cuda:0"}
    for name, device in (("a", {}), ("b", {}), ("gpu", same)):
        with RunStore.create(tmp_path / name, make_header()) as store:
            store.append(make_row("glu", [100_000.0] * 9, **{"variant": "swiglu", "nm": 0, **device}))
            if not device:
                store.append(make_row("mglu", [80_000.0] * 9, variant="mglu-naive", nm=2))
    return tmp_path


def ran(folder, *lines):
    """What commands left behind, one after the other in one process where nothing heavy can be imported."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, ",".join(BLOCKED)],
        input="\n".join(lines),
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    codes = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("EXIT ")]
    assert len(codes) == len(lines), done.stderr
    return [int(code) for code in codes], done


def test_commands_that_measure_nothing_work_without_torch(here):
    report = ROOT / "tests" / "fixtures" / "ncu_raw.csv"
    codes, done = ran(
        here,
        "report a --markdown",
        "report a --html page.html",
        "plot a --out latency.png",
        "roofline a --out roofline.svg",
        "predict --gpu H100 --nm 1",
        f"import {report} --run gpu",
        "compare a b --all",
        "runs",
        "variants",
        "sweep --executor fake --shape 24x16 --out fake --json",
    )
    assert codes == [0] * 10, done.stderr
    assert "Traceback" not in done.stderr
    assert {"page.html", "latency.png", "roofline.svg"} <= {path.name for path in here.iterdir()}


def test_what_needs_torch_says_so_in_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    env = dict(os.environ, PYTHONPATH=f"{tmp_path}:{ROOT}")
    result = run_command(
        "sweep", "--executor", "local", "--shape", "24x16", "--out", "run", cwd=tmp_path, env=env, timeout=60
    )
    assert (result.code, result.out) == (2, "")
    assert result.err == "error: this command needs torch, which is not installed here; pip install torch\n"
    assert not (tmp_path / "run").exists()


def test_the_group_that_reads_is_the_install_without_what_runs():
    """What the documents tell one to install where torch is not wanted."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runs = {"torch", "numba", "numba-cuda", "nvidia-ml-py", "nvtx"}
    whole = {entry for entry in settings["project"]["dependencies"] if re.split(r"[<>=\[;]", entry)[0] not in runs}
    assert set(settings["dependency-groups"]["read"]) == whole
