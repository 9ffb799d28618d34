"""Ceilings: taken from a run, remembered per device, preferred over datasheets by predictions."""

from __future__ import annotations

import json

import pytest

import mglubench
from mglubench.errors import UsageError
from mglubench.hardware.devices import Device
from mglubench.hardware.gpus import gpu_named
from mglubench.results import ceilings
from mglubench.results.ceilings import as_measured, ceiling_by_device, ceilings_of, place_of, remember, remembered
from mglubench.results.store import RunStore
from tests.conftest import make_header, make_row

H100 = "NVIDIA H100 80GB HBM3"
COLD = {"variant": "stream-read", "nm": 0, "dtype": "float16", "device": "cuda", "mode": "cold"}
PRODUCT = {"variant": "matrix-product", "nm": 0, "h": 1000, "d": 1000, "batch": 500, "device": "cuda", "mode": "cold"}


@pytest.fixture(autouse=True)
def notebook(tmp_path, monkeypatch):
    """A notebook of this test's own."""
    path = tmp_path / "notes" / "ceilings.json"
    monkeypatch.setenv("MGLUBENCH_CEILINGS", str(path))
    return path


def store(folder, rows, *, name=H100, time="2026-05-06T07:08:09+00:00", **changes):
    header = make_header(**changes)
    header["environment"] |= {"time": time, "devices": {"cuda": {"kind": "cuda", "name": name, "l2_bytes": 1 << 20}}}
    with RunStore.create(folder, header) as opened:
        for row in rows:
            opened.append(row)
    return folder


def read(ns, **changes):
    # 1000 x 1000 fp16 and 1000 sums: 2,002,000 bytes.
    return make_row("read", [ns] * 9, **{**COLD, "h": 1000, "d": 1000, **changes})


def some_rows():
    slow, fast = read(4_000.0), read(2_000.0, variant="stream-read-cuda")
    hot, too_large = read(100.0, mode="hot", h=100), read(1.0, mode="hot")
    products = [
        make_row("product", [ns] * 9, dtype=dtype, **PRODUCT) for dtype, ns in (("float16", 5e3), ("float32", 5e4))
    ]
    wrong = read(1.0, seed=1, status="wrong")
    return [slow, fast, hot, too_large, *products, wrong, make_row("lu", [1.0] * 9, variant="lu", nm=0, device="cuda")]


def test_ceilings_are_the_best_of_each_kind_by_hand(tmp_path):
    frame = mglubench.load(store(tmp_path / "run", some_rows()))
    assert ceilings_of(frame, "cuda") == pytest.approx(
        {
            "memory": 2_002_000 / 2e-6,
            "l2": (2 * 100 * 1000 + 2000) / 100e-9,
            "product/float16": 2 * 1000 * 1000 * 500 / 5e-6,
            "product/float32": 2 * 1000 * 1000 * 500 / 5e-5,
        }
    )
    assert ceiling_by_device(frame) == pytest.approx({"cuda": 1001.0})
    assert ceilings_of(frame, "cuda:1") == {}


def test_they_come_from_the_fastest_twentieth(tmp_path):
    row = make_row("read", [2_000.0, *[4_000.0] * 3], h=1000, d=1000, **COLD)
    rate = ceilings_of(mglubench.load(store(tmp_path / "run", [row])), "cuda")["memory"]
    assert 2_002_000 / 4e-6 < rate < 2_002_000 / 2e-6


def test_a_device_is_remembered_kind_by_kind_by_the_run_that_measured_it_last(tmp_path):
    assert remember(store(tmp_path / "one", some_rows())) == ""
    assert remember(store(tmp_path / "two", [read(1_000.0)], time="2026-06-07T00:00:00+00:00")) == ""
    assert remember(store(tmp_path / "other", [read(500.0)], name="NVIDIA L4")) == ""
    found = remembered(H100)
    assert found["memory"].rate == pytest.approx(2.002e12)
    assert found["memory"].source == "measured by the run two on 2026-06-07"
    assert found["product/float16"].run == "one"
    assert remembered("NVIDIA L4")["memory"].rate == pytest.approx(4.004e12)
    assert remembered("NVIDIA A100") == {}


def test_fake_runs_and_runs_without_ceilings_leave_no_trace(tmp_path, notebook):
    assert remember(store(tmp_path / "fake", some_rows(), fake=True)) == ""
    assert remember(store(tmp_path / "none", [])) == ""
    unasked = {"shapes": ["1000x1000"], "ceiling": False}
    assert remember(store(tmp_path / "any size", some_rows(), sweep=unasked)) == ""
    assert not notebook.exists()


def test_a_notebook_that_cannot_be_kept_is_said_in_one_line(tmp_path, notebook):
    notebook.parent.write_text("a file where a folder should be")
    said = remember(store(tmp_path / "run", some_rows()))
    assert said.startswith("measured ceilings were not remembered: ")
    assert "MGLUBENCH_CEILINGS" in said
    assert "\n" not in said


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99, "devices": {}}', '{"version": 1}'])
def test_a_damaged_notebook_is_named_and_not_overwritten(tmp_path, notebook, text):
    notebook.parent.mkdir()
    notebook.write_text(text)
    with pytest.raises(UsageError, match="is not a table of ceilings"):
        remembered(H100)
    assert "delete it" in remember(store(tmp_path / "run", some_rows()))
    assert notebook.read_text() == text


@pytest.mark.parametrize(
    "entry", ['{"memory": {}}', '{"memory": 3}', "7", '{"memory": {"rate": "fast", "run": "", "time": ""}}']
)
def test_a_damaged_entry_is_one_line(notebook, entry):
    notebook.parent.mkdir()
    notebook.write_text(f'{{"version": 1, "devices": {{"{H100}": {entry}}}}}')
    for ask in (lambda: remembered(H100), lambda: as_measured(gpu_named("H100"))):
        with pytest.raises(UsageError, match=r"is not a table of ceilings: .*delete it") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_the_file_is_published_whole(tmp_path, notebook):
    remember(store(tmp_path / "run", some_rows()))
    assert json.loads(notebook.read_text())["version"] == ceilings.NOTEBOOK.version
    assert {path.name for path in notebook.parent.iterdir()} <= {"ceilings.json", "ceilings.json.lock"}


def test_predictions_prefer_what_was_measured(tmp_path):
    sold = gpu_named("H100")
    assert as_measured(sold) == sold
    remember(store(tmp_path / "run", some_rows()))
    known = as_measured(sold)
    assert known.bandwidth == pytest.approx(1.001e12)
    assert (known.tensor_flops("float16"), known.cuda_core_flops) == (pytest.approx(2e14), pytest.approx(2e13))
    assert known.tensor_flops("bfloat16") == sold.tensor_flops("bfloat16")
    assert known.sources["bandwidth"] == "measured by the run run on 2026-05-06"
    assert as_measured(gpu_named("L4")) == gpu_named("L4")


def test_a_lower_ceiling_never_replaces_a_better_one_and_says_so(tmp_path, notebook):
    remember(store(tmp_path / "quiet", [read(1_000.0)]))
    said = remember(store(tmp_path / "busy", [read(2_000.0)], time="2026-06-07T00:00:00+00:00"))
    assert f"the ceiling memory of {H100} is 50% of what the run quiet measured on 2026-05-06" in said
    assert str(notebook) in said
    assert "\n" not in said
    assert remembered(H100)["memory"].run == "quiet"
    # Next to the best is no news.
    assert remember(store(tmp_path / "same", [read(1_010.0)])) == ""
    assert remembered(H100)["memory"].run == "quiet"


def store_on(folder, record, ns):
    """A run with one read, on the device of this record."""
    header = make_header()
    header["environment"]["devices"] = {record["kind"]: record}
    with RunStore.create(folder, header) as opened:
        opened.append(read(ns, device=record["kind"]))
    return folder


def test_ceilings_belong_to_threads_and_conditions(tmp_path):
    cpu = {"kind": "cpu", "name": "some CPU", "pages": "huge"}
    for folder, threads, ns in (("two", 2, 1_000.0), ("four", 4, 2_000.0)):
        record = {**cpu, "torch_threads": threads, "numba_threads": threads}
        assert remember(store_on(tmp_path / folder, record, ns)) == ""
    assert remembered("some CPU with 2 threads, huge pages")["memory"].run == "two"
    assert remembered("some CPU with 4 threads, huge pages")["memory"].run == "four"
    assert remembered("some CPU") == {}


def test_a_place_names_what_may_be_set_otherwise():
    record = {"kind": "cuda", "name": H100, "nvml": {"mig": 0, "ecc": 1, "power_limit_watts": 700.0}}
    assert place_of(Device.from_dict(record)) == f"{H100} with MIG 0, ECC 1, 700 W"
    assert place_of(Device("cuda", H100)) == H100


def test_the_best_of_all_conditions_stands_for_a_card(tmp_path):
    for folder, ns, watts in (("free", 1_000.0, 700.0), ("capped", 4_000.0, 350.0)):
        record = {"kind": "cuda", "name": H100, "nvml": {"power_limit_watts": watts}}
        assert remember(store_on(tmp_path / folder, record, ns)) == ""
    assert as_measured(gpu_named("H100")).bandwidth == pytest.approx(2.002e12)
