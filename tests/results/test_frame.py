"""A stored run as a tidy frame: documented columns, units, gaps where there is no figure, lossless exports."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import mglubench
from mglubench.errors import UsageError
from mglubench.results.frame import CASE_COLUMNS, export
from mglubench.results.store import RunStore
from tests.conftest import make_header, make_row

SAMPLES = [float(value) for value in range(1000, 1100)]


@pytest.fixture
def run(tmp_path):
    rows = [
        make_row("glu", SAMPLES, variant="swiglu", nm=0),
        make_row("mglu", [500.0] * 10, telemetry={"sm_mhz": 1700, "throttle": ["power cap"]}, discarded=3),
        make_row("mglu", [], nm=4, status="crash", reason="the worker died of SIGSEGV"),
    ]
    with RunStore.create(tmp_path / "run", make_header()) as store:
        for row in rows:
            store.append(row)
    return tmp_path / "run"


def test_one_row_per_case_in_measuring_order(run):
    frame = mglubench.load(run)
    assert frame["variant"].tolist() == ["swiglu", "mglu-naive", "mglu-naive"]
    assert frame["key"].is_unique
    assert frame["status"].tolist() == ["ok", "ok", "crash"]
    assert mglubench.load(str(run)).equals(frame)


def test_every_documented_column_is_there(run):
    documented = set(re.findall(r"``([a-z0-9_]+)``", mglubench.load.__doc__.partition("Returns:")[2]))
    documented -= {"samples_ns"}
    assert documented >= {*CASE_COLUMNS, "latency_us", "bytes_total", "flops", "gb_per_s"}
    assert documented <= set(mglubench.load(run).columns)


def test_an_empty_run_has_the_documented_columns_too(tmp_path, run):
    RunStore.create(tmp_path / "empty", make_header()).close()
    empty, full = mglubench.load(tmp_path / "empty"), mglubench.load(run)
    assert len(empty) == 0
    assert {name for name in full.columns if not name.startswith("gpu_")} <= set(empty.columns)


def test_figures_have_the_units_of_their_names(run):
    row = mglubench.load(run).iloc[0]
    assert row["latency_us"] == pytest.approx(np.median(SAMPLES) / 1e3)
    assert row["latency_p5_us"] == pytest.approx(np.quantile(SAMPLES, 0.05) / 1e3)
    assert row["latency_p95_us"] == pytest.approx(np.quantile(SAMPLES, 0.95) / 1e3)
    assert row["latency_low_us"] < row["latency_us"] < row["latency_high_us"]
    assert row["samples"] == 100
    assert row["bytes_weights"] == 2 * 24 * 10 * 4
    assert row["bytes_total"] == row["bytes_weights"] + 4 * 34
    assert row["gb_per_s"] == pytest.approx(row["bytes_total"] / (row["latency_us"] * 1e-6) / 1e9)
    assert row["error_before"] == row["error_after"] == 1e-7
    assert row["overhead_isolation_s"] == 0.4


def test_gpu_readings_are_columns(run):
    row = mglubench.load(run).iloc[1]
    assert (row["gpu_sm_mhz"], row["gpu_throttle"], row["discarded"]) == (1700, "power cap", 3)


def test_a_failed_case_has_gaps_where_figures_would_be(run):
    row = mglubench.load(run).iloc[2]
    assert row["reason"] == "the worker died of SIGSEGV"
    assert row[["latency_us", "latency_low_us", "bytes_total", "gb_per_s", "error_before"]].isna().all()
    assert row["samples"] == 0
    assert row["nm"] == 4


def test_raw_samples_come_when_asked_for(run):
    assert mglubench.load(run, samples=True)["samples_ns"].tolist() == [SAMPLES, [500.0] * 10, []]
    assert "samples_ns" not in mglubench.load(run).columns


def test_the_header_travels_with_the_frame(run):
    attrs = mglubench.load(run).attrs["run"]
    assert attrs["name"] == "hand"
    assert attrs["folder"] == str(run)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_exports_read_back_equal(run, tmp_path, ending):
    frame = mglubench.load(run)
    path = tmp_path / f"rows.{ending}"
    export(frame, path)
    back = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    assert list(back.columns) == list(frame.columns)
    for name in frame.columns:
        for ours, theirs in zip(frame[name], back[name], strict=True):
            gap = pd.isna(ours) or ours == ""
            assert (gap and (pd.isna(theirs) or theirs == "")) or ours == theirs, name
    assert {path.name for path in tmp_path.iterdir()} == {"run", path.name}


def test_another_ending_or_folder_is_refused_and_leaves_nothing(run, tmp_path):
    frame = mglubench.load(run)
    with pytest.raises(UsageError, match=r"ends in .parquet or .csv"):
        export(frame, tmp_path / "rows.xlsx")
    with pytest.raises(UsageError, match=r"cannot write"):
        export(frame, tmp_path / "nowhere" / "rows.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("row", ["{}", "5", "null", '{"key": "a", "status": "ok"}'])
def test_a_row_that_lacks_what_the_schema_promises_is_named(run, row):
    with (run / "rows.jsonl").open("a") as file:
        file.write(row + "\n")
    with pytest.warns(UserWarning, match=r"rows\.jsonl, line 4: damaged row"):
        assert len(mglubench.load(run)) == 3


def test_a_folder_without_a_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run"):
        mglubench.load(tmp_path)
