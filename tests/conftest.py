"""Shared helpers: a command line in this process or in one of its own, throw-away plugin packages, hand-made rows."""

from __future__ import annotations

import os

# Test processes share the cores: threads that wait must sleep, and the compiler needs no pool of its own. Set before
# anything loads an OpenMP library.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# Nor may a block be thrown away because another test had the core.
os.environ.setdefault("MGLUBENCH_KEEP_STARVED", "1")

import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mglubench.cases.case import Case
from mglubench.layer.declared import declare
from mglubench.results.rows import Measurement, Row, Status

# What tests find out about this machine is not for the user's own notebooks.
_NOTEBOOKS = tempfile.TemporaryDirectory(prefix="mglubench-tests-")
# Tables of tests are as wide as those of a log.
os.environ.pop("COLUMNS", None)
os.environ["MGLUBENCH_CEILINGS"] = str(Path(_NOTEBOOKS.name) / "ceilings.json")
os.environ["MGLUBENCH_REPEATS"] = str(Path(_NOTEBOOKS.name) / "repeats.json")
os.environ["MGLUBENCH_TUNING"] = str(Path(_NOTEBOOKS.name) / "tuning.json")

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "mglubench")
TINY = ("--h", "64", "--d", "96", "--nm", "1,3")


@dataclass(frozen=True)
class Result:
    """What a command line left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Plugin:
    """An installed throw-away package that offers variants."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """Environment of a process that sees the package."""
        return {**os.environ, "PYTHONPATH": self.search_path}

    @property
    def search_path(self) -> str:
        """It first, then what this process was told to search, so that a package under test stays the one in use."""
        return os.pathsep.join(filter(None, (str(self.folder), os.environ.get("PYTHONPATH"))))


def run_command(*args: str, cwd: Path, env: dict[str, str] | None = None, timeout: float = 240) -> Result:
    """The command line in a process of its own, its streams piped."""
    done = subprocess.run([*COMMAND, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
    return Result(done.returncode, done.stdout, done.stderr)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} | {
        str(path.relative_to(folder)) + "/": b"" for path in folder.rglob("*") if path.is_dir()
    }


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Result]:
    """The command line in this process, in a folder of its own; what it prints is captured, so it sees no terminal."""
    from mglubench.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def call(*args: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["mglubench", *args])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return Result(code, captured.out, captured.err)

    return call


def make_plugin(folder: Path, source: str, entries: dict[str, str], module: str = "thrown_away") -> Plugin:
    """Write a package with entry points as pip would install it; ``entries`` maps names to attributes of the module."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in entries.items()]
    (info / "entry_points.txt").write_text("[mglubench.variants]\n" + "\n".join(lines) + "\n")
    return Plugin(folder)


def make_case(**changes: Any) -> Case:
    """A small case; masks belong to it unless nm=0 is asked for."""
    values = {"variant": "mglu-naive", "h": 24, "d": 10, "nm": 2, "mask": "bernoulli:0.5", "mode": "hot", **changes}
    if not values["nm"]:
        values["mask"] = "none"
    return Case(**values)


def make_row(layer: str, samples: Iterable[float], **changes: Any) -> Row:
    """A stored row, as the runner would append it; ``status`` and ``reason`` may be changed too."""
    status, reason = Status(changes.pop("status", "ok")), changes.pop("reason", "")
    extra = {
        name: changes.pop(name) for name in ("ledger", "telemetry", "discarded", "notes", "worker") if name in changes
    }
    case = make_case(**changes)
    good = status == Status.OK
    ledger = declare(layer, case).to_dict() if good else {}
    measurement = Measurement(
        case,
        status,
        reason,
        samples=list(samples) if good else [],
        stop="target" if good else "",
        timer="hand" if good else "",
        checks=[{"relative": 1e-7, "worst": 1e-6, "unwritten": 0}] * 2 if good else [],
        overhead={"prepare": 0.1, "sampling": 0.2, "check": 0.3, "isolation": 0.4} if good else {"prepare": 0.1},
        **{"ledger": ledger, **extra},
    )
    return Row.of(measurement, layer)


def make_header(**changes: Any) -> dict[str, Any]:
    """A run's header."""
    environment = {
        "time": "2025-01-02T03:04:05+00:00",
        "command": ["mglubench", "sweep"],
        "cpu": {"model": "hand-made CPU", "architecture": "x86_64", "cores": 2, "cache_bytes": 32 << 20},
        "memory_bytes": 1 << 34,
        "os": "Linux",
        "python": "3.11.0",
        "packages": {"mglubench": "0.1.0", "torch": "2.6.0", "numba": "0.61.0"},
        "git": None,
        "variables": {},
        "devices": {"cpu": {"kind": "cpu", "name": "hand-made CPU"}},
        "memory": {"cpu": {"total": 1 << 34, "available": 1 << 33}},
        "unavailable": {},
    }
    return {"name": "hand", "sweep": {"shapes": ["24x10"]}, "cases": 3, "fake": False, "environment": environment} | (
        changes
    )


def slow_activation(values: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
    """Activations from their textbook formulas."""
    from math import erf

    with np.errstate(over="ignore", invalid="ignore"):
        if name == "silu":
            return values / (1 + np.exp(-values))
        if name == "gelu":
            return values * 0.5 * (1 + np.vectorize(erf)(values / np.sqrt(2)))
        return np.where(np.isnan(values), values, np.maximum(values, 0))


def slow_layer(
    layer: str,
    x: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    value: npt.NDArray[np.float64],
    masks: npt.NDArray[np.bool_],
    activation: str,
) -> npt.NDArray[np.float64]:
    """A layer in float64 straight from its formula, [batch, d]; shares no code with the product."""
    with np.errstate(all="ignore"):
        if layer == "read":
            return np.tile(weight.sum(axis=1), (len(x), 1))
        if layer == "product":
            return x @ weight.T
        if layer == "lu":
            return slow_activation(x @ weight.T, activation)
        if layer == "glu":
            return slow_activation(x @ weight.T, activation) * (x @ value.T)
        halves = [(x @ (mask * weight).T, x @ ((1 - mask) * weight).T) for mask in masks.astype(np.float64)]
        return np.sum([slow_activation(gate, activation) * rest for gate, rest in halves], axis=0)
