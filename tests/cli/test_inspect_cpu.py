"""``mglubench inspect`` of the CPU kernels as a person calls it: table, JSON, pins, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mglubench.kernels.cpu_target import here
from tests.conftest import Result

Cli = Callable[..., Result]
MGLU = ("inspect", "mglu-numba-cpu", "--nm", "1")


def test_a_line_per_processor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    done = cli("inspect", "--device", "cpu", "--nm", "1", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert [row["arch"] for row in rows] == [here().name, "avx2", "neon"] * 2
    assert all(row["compiler"].startswith("LLVM ") for row in rows)
    monkeypatch.setenv("COLUMNS", "80")
    table = cli(*MGLU, "--arch", "avx2", "--dtype", "int8")
    assert table.code == 0
    assert max(map(len, table.out.splitlines())) <= 80
    assert "256" in table.out


def test_pins_are_held(cli: Cli) -> None:
    assert cli(*MGLU, "--arch", "avx2,neon", "--save", "pins.json").code == 0
    again = cli(*MGLU, "--against", "pins.json")
    assert (again.code, again.out) == (0, "every kernel is as it was pinned\n")
    pins = Path("pins.json")
    text = json.loads(pins.read_text())
    for row in text["rows"]:
        row["instructions_per_element"] *= 0.9
        row["vector_bits"] *= 2
    pins.write_text(json.dumps(text))
    worse = cli(*MGLU, "--against", "pins.json", "--json")
    assert worse.code == 3
    facts = [{change["fact"] for change in kernel["changes"]} for kernel in json.loads(worse.out)["kernels"]]
    assert facts == [{"instructions_per_element", "vector_bits"}] * 2


def test_refusals(cli: Cli) -> None:
    for words, said in (
        (("inspect", "--device", "tpu"), "device must be cpu or cuda"),
        (("inspect", "--device", "cpu", "--arch", "sm_90a"), "unknown CPU target 'sm_90a'"),
        (("inspect", "flash-mglu-mma", "--device", "cpu"), "has no CPU kernel to inspect"),
        ((*MGLU, "--dtype", "int7"), "int7"),
    ):
        done = cli(*words)
        assert done.code == 2
        assert said in done.err
        assert len(done.err.strip().splitlines()) == 1
