"""What repeats found, remembered per device."""

from __future__ import annotations

import json

import pytest

from mglubench.errors import UsageError
from mglubench.results.repeat_notebook import remember, remembered
from mglubench.results.repeats import Repeats, repeats_of
from tests.conftest import make_header
from tests.results.repeated import around, derived, noisy_runs


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    path = tmp_path / "notes" / "repeats.json"
    monkeypatch.setenv("MGLUBENCH_REPEATS", str(path))
    return path


def test_a_spread_comes_back_as_it_was_found(notebook):
    found = repeats_of(noisy_runs(12, 0.02, half=0.04, cases=2))
    assert remember(found, make_header(), "mine") == ""
    known = remembered("hand-made CPU")
    assert (known.run, known.runs, known.modes, known.intervals) == ("mine", 12, ("cold",), 24)
    assert known.ratios.by == {figure.name: figure.deviation for figure in found.ratios}
    assert known.latencies.largest == max(figure.deviation for figure in found.latencies)
    assert "ratios differ by" in known.words()
    assert "measured 2025-01-02 by 12 runs, cold" in known.words()
    assert remembered("another") is None


def test_each_device_has_its_own_and_latencies_alone_are_kept(notebook):
    def run(latency):
        cases = [{"variant": "a", "device": name, **around("latency_us", latency, 0.1)} for name in ("cpu", "cuda")]
        return derived(*cases)

    header = make_header()
    header["environment"]["devices"]["cuda"] = {"kind": "cuda", "name": "a card"}
    assert remember(repeats_of([run(10.0), run(11.0)]), header, "both") == ""
    known = remembered("a card")
    assert known.ratios is None
    assert set(known.latencies.by) == {"a/nm1/cold/cuda"}
    assert known.words().startswith("latencies differ by")
    assert remembered("hand-made CPU").latencies.by == {"a/nm1/cold/cpu": known.latencies.median}


def test_fake_runs_and_nothing_are_not_kept(notebook):
    assert remember(repeats_of(noisy_runs(3, 0.02, 0.04)), make_header(fake=True), "x") == ""
    assert remember(Repeats(2), make_header(), "x") == ""
    assert not notebook.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("runs", "many"), ("modes", 3), ("latencies", None), ("ratios", {"median": -1}), ("covered", True), ("time", ...)],
)
def test_a_damaged_entry_is_one_line_that_names_the_file(notebook, name, value):
    remember(repeats_of(noisy_runs(3, 0.02, 0.04)), make_header(), "x")
    table = json.loads(notebook.read_text())
    entry = table["devices"]["hand-made CPU"]
    if value is ...:
        del entry[name]
    else:
        entry[name] = value
    notebook.write_text(json.dumps(table))
    with pytest.raises(UsageError, match=r"repeats.json is not a table of repeats: hand-made CPU: .*mglubench repeat"):
        remembered("hand-made CPU")


def test_a_notebook_that_cannot_be_written_is_said(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MGLUBENCH_REPEATS", str(tmp_path / "file" / "repeats.json"))
    said = remember(repeats_of(noisy_runs(3, 0.02, 0.04)), make_header(), "x")
    assert said.startswith("the spread between runs was not remembered: ")
