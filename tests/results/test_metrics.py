"""Speed-ups and memory figures, against examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

import mglubench
from mglubench.measure.measurement import Round
from mglubench.report.tables import run_tables
from mglubench.results.frame import load_first
from mglubench.results.metrics import ceiling_by_device, derive
from mglubench.results.store import RunStore
from tests.conftest import make_header, make_row

# Their rounds go the other way, so that ratios differ from round to round and have the right median all the same.
BACKWARDS = ("swiglu-merged", "mglu-numba-cpu")


def in_rounds(row):
    """A row of 21 samples as seven rounds of three."""
    if len(row.samples) != 21:
        return row
    order = range(6, -1, -1) if row.case.variant in BACKWARDS else range(7)
    samples = [value for part in order for value in row.samples[3 * part : 3 * part + 3]]
    return replace(row, samples=samples, rounds=[Round(number, 0, count=3) for number in range(7)])


def around(middle, count=21, spread=0.02):
    return list(middle * np.exp(np.linspace(-spread, spread, count)))


@pytest.fixture
def derived(tmp_path):
    def make(*rows, name="run"):
        with RunStore.create(tmp_path / name, make_header()) as store:
            for row in rows:
                store.append(in_rounds(row))
        return derive(mglubench.load(tmp_path / name, samples=True))

    return make


def by_variant(frame):
    return {(row["variant"], row["nm"]): row for row in frame.to_dict("records")}


def test_speed_ups_are_ratios_of_medians_to_the_right_base(derived):
    found = by_variant(
        derived(
            make_row("glu", around(1000), variant="swiglu", nm=0),
            make_row("glu", around(800), variant="swiglu-merged", nm=0),
            make_row("mglu", around(4000), nm=1),
            make_row("mglu", around(8000), nm=2),
            make_row("mglu", around(500), variant="mglu-numba-cpu", nm=1),
            make_row("mglu", around(640), variant="mglu-numba-cpu", nm=2),
        )
    )
    assert {row["fastest_glu"] for row in found.values()} == {"swiglu-merged"}
    assert found["mglu-numba-cpu", 1]["vs_glu"] == pytest.approx(1.6)
    assert found["mglu-numba-cpu", 1]["vs_naive"] == pytest.approx(8.0)
    assert found["mglu-numba-cpu", 2]["vs_naive"] == pytest.approx(12.5)
    assert found["swiglu", 0]["vs_glu"] == pytest.approx(0.8)
    assert np.isnan(found["swiglu", 0]["vs_naive"])
    for row in found.values():
        assert row["vs_glu_low"] <= row["vs_glu"] <= row["vs_glu_high"]
    assert found["mglu-numba-cpu", 1]["vs_naive_low"] < 8.0 < found["mglu-numba-cpu", 1]["vs_naive_high"]


def test_a_base_is_exactly_one(derived):
    row = derived(make_row("glu", around(1000), variant="swiglu", nm=0)).iloc[0]
    assert (row["vs_glu"], row["vs_glu_low"], row["vs_glu_high"]) == (1.0, 1.0, 1.0)


def test_equal_layers_have_an_interval_around_one(derived):
    frame = derived(
        make_row("glu", around(1000), variant="swiglu", nm=0),
        make_row("glu", around(1000.001), variant="swiglu-merged", nm=0),
    )
    row = frame.iloc[1]
    assert row["vs_glu_low"] < 1.0 < row["vs_glu_high"]


def test_a_wrong_or_failed_case_takes_no_part(derived):
    frame = derived(
        make_row("glu", [1.0], variant="swiglu-merged", nm=0, status="wrong", reason="relative error"),
        make_row("glu", around(1000), variant="swiglu", nm=0),
        make_row("mglu", [1.0], nm=1, status="timeout"),
        make_row("mglu", around(500), variant="mglu-numba-cpu", nm=1),
    )
    assert frame["fastest_glu"].tolist()[1] == "swiglu"
    assert frame.loc[[0, 2], ["vs_glu", "vs_naive", "memory_vs_glu", "bits_per_element"]].isna().all(axis=None)
    assert frame["vs_glu"].iloc[3] == pytest.approx(2.0)
    assert np.isnan(frame["vs_naive"].iloc[3])


@pytest.mark.parametrize("changed", [{"mode": "cold"}, {"batch": 2}, {"dtype": "float16"}, {"h": 32}, {"seed": 1}])
def test_settings_are_never_mixed(derived, changed):
    frame = derived(
        make_row("glu", around(1000), variant="swiglu", nm=0),
        make_row("mglu", around(500), variant="mglu-numba-cpu", **changed),
    )
    assert np.isnan(frame["vs_glu"].iloc[1])


def test_naive_is_compared_at_the_same_masks(derived):
    frame = derived(
        make_row("mglu", around(4000), mask="ones"),
        make_row("mglu", around(500), variant="mglu-numba-cpu", mask="bernoulli:0.5"),
    )
    assert np.isnan(frame["vs_naive"].iloc[1])


def test_memory_saved_and_bits_per_element_are_of_declared_bytes(derived):
    big = {"h": 2048, "d": 8192, "dtype": "float16"}
    found = by_variant(
        derived(
            make_row("glu", around(1000), variant="swiglu", nm=0, **big),
            make_row("mglu", around(500), variant="mglu-numba-cpu", nm=1, **big),
            make_row("mglu", around(500), variant="mglu-numba-cpu", nm=8, **big),
        )
    )
    assert found["mglu-numba-cpu", 1]["bits_per_element"] == pytest.approx(17, abs=0.02)
    assert found["mglu-numba-cpu", 8]["memory_vs_glu"] == pytest.approx(0.25, abs=0.001)
    assert found["mglu-numba-cpu", 1]["memory_vs_glu"] == pytest.approx(1 - 17 / 32, abs=0.001)
    assert found["swiglu", 0]["memory_vs_glu"] == 0.0


def test_the_ceiling_is_an_ok_cold_read_of_the_same_device(derived):
    read = {"variant": "stream-read", "nm": 0, "h": 1000, "d": 1000}
    frame = derived(
        make_row("read", [40_000.0] * 9, mode="cold", **read),
        make_row("read", [1.0] * 9, mode="hot", **read),
        make_row("read", [1.0], mode="cold", seed=3, status="wrong", **read),
        make_row("mglu", around(500)),
    )
    gigabytes = (4e6 + 4e3) / 40_000
    assert ceiling_by_device(frame) == {"cpu": pytest.approx(gigabytes)}
    row = frame.iloc[3]
    assert row["share_of_ceiling"] == pytest.approx(row["gb_per_s"] / gigabytes)
    assert np.isnan(frame["vs_glu"].iloc[0])


def test_shares_are_of_the_large_buffer_and_of_a_read_of_the_own_matrix(derived):
    here = {"mode": "cold", "device": "cuda", "dtype": "float16", "nm": 0}
    frame = derived(
        make_row("read", around(1000), **here, variant="stream-read", h=1000, d=1000),
        make_row("read", around(100), **here, variant="stream-read", h=64, d=96),
        make_row("glu", around(200), **here, variant="swiglu", h=64, d=96),
        make_row("glu", around(200), **here, variant="swiglu", h=32, d=96),
    )
    rates = frame["bytes_total"] / frame["latency_us"]
    layer, other = frame.iloc[2], frame.iloc[3]
    assert layer["share_of_ceiling"] == pytest.approx(rates[2] / rates[0])
    assert layer["share_of_own_read"] == pytest.approx(rates[2] / rates[1])
    assert np.isnan(other["share_of_own_read"])
    assert other["ceiling_gb_per_s"] == pytest.approx(1e-3 * rates[0])
    (memory, _) = (table for table in run_tables(frame) if table.title.startswith("Memory"))
    assert [column.title for column in memory.columns][-2:] == ["of ceiling", "of own read"]
    assert memory.cells(memory.rows[0])[-1] == f"{rates[2] / rates[1]:.0%}"


def test_without_a_ceiling_there_are_no_shares(derived):
    frame = derived(make_row("mglu", around(500)))
    assert ceiling_by_device(frame) == {}
    assert frame["share_of_ceiling"].isna().all()


@pytest.mark.parametrize("rows", [[], [make_row("mglu", [], status="oom"), make_row("mglu", [], nm=5, status="oom")]])
def test_a_run_without_a_single_figure_is_derived_all_the_same(derived, rows):
    frame = derived(*rows)
    assert len(frame) == len(rows)
    assert frame["vs_glu"].isna().all()


def test_deriving_twice_gives_the_same_intervals_and_leaves_its_input_alone(derived):
    frame = derived(
        make_row("glu", around(1000), variant="swiglu", nm=0), make_row("mglu", around(500), variant="mglu-numba-cpu")
    )
    again = derive(frame)
    assert again["vs_glu_low"].tolist() == frame["vs_glu_low"].tolist()
    assert again.attrs == frame.attrs


def test_the_first_settings_keep_every_ceiling_and_failure(tmp_path):
    rows = [make_row("mglu", around(500), h=h) for h in (8, 16, 24, 32)]
    rows.append(make_row("mglu", [], h=40, status="crash"))
    rows.append(make_row("read", around(500), variant="stream-read", nm=0, h=48))
    with RunStore.create(tmp_path / "run", make_header()) as store:
        for row in rows:
            store.append(row)
    frame, count = load_first(tmp_path / "run", 2)
    assert count == 6
    assert frame["h"].tolist() == [8, 16, 40, 48]
    assert frame.attrs["run"]["name"] == "hand"
    whole, count = load_first(tmp_path / "run", 9)
    assert len(whole) == count == 6
