"""A run of several weight formats answers whether the saving survives, per nm, beside what bytes allow."""

from __future__ import annotations

import mglubench
from mglubench.report.tables import run_tables
from mglubench.results.metrics import derive

SWEEP = ("sweep", "--executor", "fake", "--h", "2048", "--d", "256", "--device", "cpu", "--out", "run")


def test_a_run_of_formats_answers_the_question(cli):
    names = ("--variants", "swiglu-numba-cpu,mglu-numba-cpu,swiglu")
    assert cli(*SWEEP, *names, "--nm", "1,4", "--weights", "same,int8,int4").code == 0
    tables = {table.title: table for table in run_tables(derive(mglubench.load("run", samples=True)))}
    saving = tables["Does the saving survive: h=2048 d=256, 1 token, float32, silu, cold on cpu"]
    rows = {(row["weights"], row["nm"]): row for row in saving.rows}
    assert set(rows) == {(weights, nm) for weights in ("float32", "int8", "int4") for nm in (1, 4)}
    # x, y and scales count as well: near 16 / (8 + nm) and 8 / (4 + nm).
    for weights, bits in (("int8", 8), ("int4", 4)):
        for nm in (1, 4):
            exact = 2 * bits / (bits + nm)
            assert 0.95 * exact < rows[weights, nm]["floor"] < 1.03 * exact
            assert rows[weights, nm]["glu"] == "swiglu-numba-cpu"
    refused = {row["reason"] for row in tables["Not measured"].rows}
    assert refused == {"weights int8 are not among same", "weights int4 are not among same"}


def test_a_run_of_whole_weights_does_not_ask(cli):
    assert cli(*SWEEP, "--variants", "swiglu,mglu-numba-cpu").code == 0
    tables = run_tables(derive(mglubench.load("run", samples=True)))
    assert not [table for table in tables if table.title.startswith("Does the saving")]
