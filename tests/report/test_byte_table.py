"""The byte ledger by hand: formula beside measured bytes, marks where something is missing or impossible."""

from __future__ import annotations

import math

import pytest

import mglubench
from mglubench.hardware.counter_names import Kernel
from mglubench.report.render import to_markdown
from mglubench.report.tables import run_tables
from mglubench.results.counters import failed_row, joined_row
from mglubench.results.metrics import derive
from mglubench.results.store import RunStore
from mglubench.status import Status
from tests.conftest import make_header, make_row

H, D = 4096, 14336
SAME = {"h": H, "d": D, "dtype": "float16", "mode": "cold", "device": "cuda:0"}
GLU = make_row("glu", [100_000.0] * 9, variant="swiglu", nm=0, **SAME)
SLOW_GLU = make_row("glu", [200_000.0] * 9, variant="swiglu-merged", nm=0, **SAME)
PACKED = make_row("mglu", [60_000.0] * 9, variant="flash-mglu-packed", nm=4, **SAME)
NAIVE = make_row("mglu", [900_000.0] * 9, variant="mglu-naive", nm=4, **SAME)
READ = make_row("read", [20_000.0] * 9, variant="stream-read", nm=0, **{**SAME, "h": 4096, "d": 8192})
DEVICE = {"kind": "cuda", "name": "hand-made GPU", "l2_bytes": 50_000_000, "capability": "9.0"}


def counted(row, read, written=10_000.0):
    metrics = {
        "dram__bytes_read.sum": read,
        "dram__bytes_write.sum": written,
        "gpu__time_duration.sum": 1e5,
        "lts__t_sectors_op_write.sum": 1000.0,
    }
    return joined_row("ncu", row.key, [Kernel("k", frozenset(), metrics)], {})


def frame_of(tmp_path, rows, counters, name="hand-made GPU"):
    header = make_header()
    header["environment"]["devices"] = {"cuda:0": {**DEVICE, "name": name}}
    with RunStore.create(tmp_path / "run", header) as store:
        for row in rows:
            store.append(row)
        for row in counters:
            store.append_counters(row)
    return derive(mglubench.load(tmp_path / "run", samples=True))


def memory(frame):
    (table,) = [table for table in run_tables(frame) if table.title.startswith("Memory")]
    return table, {
        row["variant"]: dict(zip([c.title for c in table.columns], table.cells(row), strict=True)) for row in table.rows
    }


def test_measured_bytes_stand_beside_the_formula(tmp_path):
    formula = PACKED.ledger["total"]
    counters = [counted(GLU, 2.0 * H * D * 2), counted(PACKED, 1.01 * formula - 10_000)]
    table, cells = memory(frame_of(tmp_path, [GLU, PACKED], counters))
    packed = cells["flash-mglu-packed"]
    assert packed["formula MB"] == f"{formula / 1e6:,.2f}"
    assert packed["DRAM MB"] == f"{1.01 * formula / 1e6:,.2f}"
    assert packed["DRAM/formula"] == "1.010"
    assert packed["bits/weight"] == f"{8 * 1.01 * formula / (H * D):.1f}"
    assert packed["DRAM written MB"] == "0.010"
    assert packed["L2 written MB"] == "0.032"
    assert packed["formula/L2"] == f"{formula / 50e6:.1f}"
    saved = 1 - 1.01 * formula / (4 * H * D + 10_000)
    assert packed["saved vs GLU"] == f"{saved:+.1%}"
    assert any("measured bytes of the row and of swiglu" in note for note in table.notes)
    assert not any(note.startswith("f:") for note in table.notes)
    assert [row["best"] for row in table.rows] == [False, True]


def test_the_saving_needs_counters_of_both_and_says_which_was_used(tmp_path):
    table, cells = memory(frame_of(tmp_path, [GLU, PACKED, NAIVE], [counted(PACKED, 1e8)]))
    formula = 1 - PACKED.ledger["total"] / GLU.ledger["total"]
    assert cells["flash-mglu-packed"]["saved vs GLU"] == f"{formula:+.1%} f"
    assert cells["mglu-naive"]["bits/weight"].endswith(" f")
    assert cells["mglu-naive"]["verdict"] == "no counters: not profiled"
    assert cells["mglu-naive"]["DRAM MB"] == "-"
    assert any(note.startswith("f: from the formula") for note in table.notes)
    assert not any("measured bytes of the row" in note for note in table.notes)


def test_the_fastest_glu_is_the_base_not_another_one(tmp_path):
    counters = [counted(GLU, 2e8, 0.0), counted(SLOW_GLU, 9e8, 0.0), counted(PACKED, 1e8, 0.0)]
    frame = frame_of(tmp_path, [SLOW_GLU, GLU, PACKED], counters).set_index("variant")
    assert frame.loc["flash-mglu-packed", "dram_saved_vs_glu"] == pytest.approx(0.5)
    assert frame.loc["swiglu", "dram_saved_vs_glu"] == 0
    assert frame.loc["swiglu-merged", "dram_saved_vs_glu"] == pytest.approx(1 - 4.5)


def test_a_reason_is_shown_where_counters_failed(tmp_path):
    refused = failed_row("ncu", GLU.key, Status.PERMISSION, "not permitted", {})
    _, cells = memory(frame_of(tmp_path, [GLU, PACKED], [counted(PACKED, 1e8), refused]))
    assert cells["swiglu"]["verdict"] == "no counters: not permitted"


@pytest.mark.parametrize(("share", "invalid"), [(1.04, False), (1.06, True)])
def test_rows_above_the_measured_ceiling_are_invalid(tmp_path, share, invalid):
    ceiling = READ.ledger["total"] / 20_000.0
    counters = [counted(PACKED, share * ceiling * 60_000.0, 0.0)]
    frame = frame_of(tmp_path, [READ, GLU, PACKED], counters)
    table, cells = memory(frame)
    assert cells["flash-mglu-packed"]["verdict"].startswith("INVALID") == invalid
    assert [row["best"] for row in table.rows] == [False, not invalid]
    assert frame.set_index("variant").loc["flash-mglu-packed", "above_peak"] == invalid
    assert cells["flash-mglu-packed"]["of peak"] == f"{share:.0%}"


def test_a_known_device_is_judged_by_its_datasheet(tmp_path):
    frame = frame_of(tmp_path, [READ, PACKED], [counted(PACKED, 3.3e12 * 60e-6)], name="NVIDIA H100 80GB HBM3")
    row = frame.set_index("variant").loc["flash-mglu-packed"]
    assert 3000 < row["peak_gb_per_s"] < 3500
    assert not row["above_peak"]


def test_without_a_peak_nothing_is_judged(tmp_path):
    frame = frame_of(tmp_path, [PACKED], [counted(PACKED, 1e15)])
    table, cells = memory(frame)
    assert cells["flash-mglu-packed"]["verdict"] == ""
    assert cells["flash-mglu-packed"]["of peak"] == "-"
    assert not any("peak" in note for note in table.notes)


def test_hot_cases_are_said_to_be_warm(tmp_path):
    hot = make_row("mglu", [60_000.0] * 9, variant="flash-mglu-packed", nm=4, **{**SAME, "mode": "hot"})
    table, _ = memory(frame_of(tmp_path, [hot], [counted(hot, 1e6)]))
    assert "warm" in table.notes[0]


def test_without_counters_the_declared_table_stays(tmp_path):
    table, _ = memory(frame_of(tmp_path, [GLU, PACKED], [failed_row("ncu", GLU.key, Status.BUSY, "held", {})]))
    assert table.columns[-1].title == "of ceiling"
    assert "not counters" in table.notes[0]


def test_a_cpu_run_has_the_columns_and_no_figures(tmp_path):
    with RunStore.create(tmp_path / "run", make_header()) as store:
        store.append(make_row("mglu", [5.0] * 9))
    row = derive(mglubench.load(tmp_path / "run", samples=True)).iloc[0]
    assert all(math.isnan(row[name]) for name in ("dram_bytes", "formula_over_l2", "dram_saved_vs_glu"))
    assert not row["above_peak"]


def test_the_ledger_as_markdown(tmp_path):
    counters = [counted(GLU, 2.0 * H * D * 2), counted(PACKED, 1.5e8)]
    table, _ = memory(frame_of(tmp_path, [READ, GLU, PACKED], counters))
    text = to_markdown(table)
    assert "| variant | nm | formula MB | DRAM MB | DRAM/formula |" in text
    assert "**flash-mglu-packed**" in text
