"""Predictions: floors by hand, the paper beside them, and nothing that looks like a measurement."""

from __future__ import annotations

import json

import pytest

from mglubench.cases.config import build_spec
from mglubench.hardware.gpus import gpu_named
from mglubench.report.predict import predict_tables
from mglubench.report.predict_launches import launch_tables
from mglubench.report.render import to_markdown, to_plain


def tables(gpu="H100", **options):
    return predict_tables(build_spec({"shape": "2048x8192", **options}), gpu_named(gpu))


def row_of(table, **wanted):
    (row,) = [row for row in table.rows if all(row[key] == value for key, value in wanted.items())]
    return row


def test_the_floor_of_eight_masks_on_an_h100_by_hand():
    row = row_of(tables(nm="8")[0], layer="mglu", nm=8)
    assert row["bytes"] == 50_352_128
    assert row["floor_us"] == row["memory_us"] == pytest.approx(15.0305, abs=1e-4)
    assert row["compute_us"] == pytest.approx(0.3052, abs=1e-4)
    assert (row["bound"], row["in_l2"]) == ("memory", True)
    assert row["bits_per_element"] == pytest.approx(24.0, abs=0.02)


@pytest.mark.parametrize(("nm", "limit"), [(1, 32 / 17), (2, 32 / 18), (4, 32 / 20), (8, 32 / 24), (16, 1.0)])
def test_the_largest_speed_up_over_glu_is_the_ratio_of_bits(nm, limit):
    table = tables(nm=str(nm), shape="4096x14336")[0]
    assert row_of(table, nm=nm)["limit_vs_glu"] == pytest.approx(limit, rel=1e-3)
    assert row_of(table, layer="lu")["limit_vs_glu"] == pytest.approx(2.0, rel=1e-3)
    assert row_of(table, layer="glu")["limit_vs_glu"] == 1.0


def test_the_largest_speed_up_over_naive_counts_what_torch_materialises():
    # Per mask and element: 4 mask bytes, twice W, twice a masked copy written and read: 4 + 4 + 8 = 16 B; ours 17 bits.
    row = row_of(tables(nm="1")[0], nm=1)
    assert row["limit_vs_naive"] == pytest.approx(16 * 8 / 17, rel=1e-3)
    assert row_of(tables(nm="1")[0], layer="glu")["limit_vs_naive"] is None


def test_many_tokens_change_what_binds():
    first, second = tables(batch="1,1024", nm="8")[:2]
    assert row_of(first, nm=8)["bound"] == "memory"
    assert row_of(second, nm=8)["bound"] == "tensor cores"
    # 2 d h batch (nm + 1) FLOPs against GLU's 4 d h batch.
    assert row_of(second, nm=8)["limit_vs_glu"] == pytest.approx(2 / 9)
    assert "1024 tokens" in second.title


def test_the_paper_stands_beside_the_same_floors():
    table = tables("A100 SXM 80GB", shape="4096x14336", nm="1,8")[-1]
    assert "paper" in table.title
    row = row_of(table, gpu="H100 (H100 SXM)", nm=8)
    # 29,360,128 W bytes x 4 + 58,720,256 B of masks + x 8,192 + y 28,672, at 3.35 TB/s; the paper took 121.5 us.
    assert row["floor_us"] == pytest.approx((117_440_512 + 58_720_256 + 8_192 + 28_672) / 3.35e6)
    assert row["paper_us"] == pytest.approx(121.5)
    assert row["share"] == pytest.approx(0.4329, abs=1e-4)
    # With eight masks, a byte per weight is what eight bits per weight are.
    assert row["byte_floor_us"] == pytest.approx(row["floor_us"])
    assert row_of(table, gpu="RTX 5090", nm=1)["byte_share"] == pytest.approx(98.32 / 116.6, abs=1e-3)
    assert row_of(table, gpu="RTX 5090", nm=0)["paper_us"] == pytest.approx(153.0)
    assert {row["nm"] for row in table.rows} == {0, 1, 8}


def test_every_kernel_has_an_estimate_and_the_model_stands_beside_the_papers_times():
    spec = build_spec({"shape": "2048x8192,4096x14336", "nm": "1,8"})
    found = launch_tables(spec, gpu_named("H100"), gpu_named)
    assert [("estimate" in table.title.lower()) for table in found] == [True] * 3
    kernels = {row["variant"] for row in found[0].rows}
    assert kernels >= {"flash-mglu-paper", "flash-mglu-mma", "flash-mglu-bulk", "swiglu-fused", "stream-read-cuda"}
    assert all(0 < row["share"] <= 1 and row["binds"] for row in found[0].rows)
    off = {(row["gpu"], row["shape"], row["nm"]): row["off"] for row in found[-1].rows}
    assert len(off) == 8
    # Where the paper's card was bound by its memory, the model is near; the text says how far it is elsewhere.
    assert abs(off["RTX 5090", "4096x14336", 8]) < 0.10
    assert any("H100 SXM, layers from memory: the model is off by" in note for note in found[-1].notes)
    assert launch_tables(build_spec({"shape": "64x96", "dtype": "float32"}), gpu_named("H100"), gpu_named) == []
    assert len(launch_tables(spec, gpu_named("B300"), gpu_named)) == 1


def test_a_share_above_one_is_explained_by_the_cache():
    table = tables("RTX 5090", nm="4")[-1]
    row = row_of(table, gpu="RTX 5090", nm=4)
    assert row["share"] > 1
    assert row["in_l2"] is True
    assert any("Above 100 %" in note and "fits in L2" in note for note in table.notes)


def test_shapes_and_masks_that_the_paper_lacks_have_no_sanity_check():
    assert len(tables(shape="1024x4096")) == 1
    assert {row["nm"] for row in tables(nm="3")[-1].rows} == {0}


def test_every_table_says_that_it_is_an_estimate_or_whose_measurement_it_is():
    floors, beside = tables(nm="1")
    assert floors.title.startswith("Estimate for H100 SXM, no layer measured")
    assert any("estimate, datasheet figures: floor" in note and "3,350 GB/s" in note for note in floors.notes)
    assert any("50.0 MiB" in note for note in floors.notes)
    assert any(note.startswith("sources: ") and "https://" in note for note in floors.notes)
    assert any("measured by the paper" in note for note in beside.notes)


def test_an_unknown_cache_is_said_to_be_unknown():
    (table, *_) = tables("L40S", nm="1")
    assert row_of(table, nm=1)["in_l2"] is None
    assert any(note.startswith("fits L2: not known, listings disagree") for note in table.notes)
    assert "| ? |" in to_markdown(table)


def test_auto_dtype_is_the_papers_and_float32_has_no_tensor_cores():
    assert "float16" in tables()[0].title
    table = tables(dtype="fp32", nm="1")[0]
    assert row_of(table, nm=1)["bits_per_element"] == pytest.approx(33, abs=0.02)
    assert any("67.0 TFLOP/s of the CUDA cores" in note for note in table.notes)


def test_plain_data_has_null_where_there_is_no_figure():
    plain = to_plain(tables(nm="1")[1])
    assert plain["rows"][0]["byte_share"] is None
    assert plain["rows"][0]["what"] == "GLU, torch"


def test_floors_know_weight_formats(cli):
    words = ("predict", "--gpu", "RTX 5090", "--nm", "1,8", "--weights", "same,int8,int4", "--json")
    found = [table for table in json.loads(cli(*words).out)["tables"] if table["title"].startswith("Estimate")]
    assert [table["title"].rpartition(", ")[2] for table in found] == ["float16", "weights int8", "weights int4"]
    best = {row["nm"]: row["limit_vs_glu"] for row in found[1]["rows"]}
    assert best[1] == pytest.approx(16 / 9, rel=0.01)
    assert best[8] == pytest.approx(1.0, rel=0.01)
