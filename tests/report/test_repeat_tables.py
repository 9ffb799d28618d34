"""What repeats look like: 80 columns, a finding of the doctor, a line in headings."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mglubench.hardware.devices import Device
from mglubench.report.render import to_rich
from mglubench.report.repeat_tables import repeat_finding, repeat_lines, repeat_tables
from mglubench.results.repeat_notebook import remember
from mglubench.results.repeats import repeats_of
from tests.conftest import make_header
from tests.results.repeated import around, derived, noisy_runs


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    path = tmp_path / "repeats.json"
    monkeypatch.setenv("MGLUBENCH_REPEATS", str(path))
    return path


def test_tables_are_eighty_columns_wide_and_say_what_is_covered():
    def run(by):
        ratios = {**around("vs_glu", 0.7 * by, 0.01), **around("vs_naive", 123.4 * by, 0.01)}
        names = {"fastest_glu": "swiglu", "fastest_naive": "mglu-naive"}
        latency = around("latency_us", 108_495.3 / by, 0.01)
        return derived({"variant": "mglu-naive-complement", "nm": 16, **latency, **ratios, **names})

    tables = repeat_tables(repeats_of(map(run, (1.0, 1.3, 1.0))))
    assert [table.title.split(" in ")[0] for table in tables[:3]] == ["x fastest GLU", "x naive", "latency us"]
    for table in tables:
        stream = io.StringIO()
        Console(file=stream, width=200).print(to_rich(table))
        assert max(len(line.rstrip()) for line in stream.getvalue().splitlines()) <= 80
    cells = dict(zip((column.title for column in tables[0].columns), tables[0].cells(tables[0].rows[0]), strict=True))
    assert (cells["ratio"], cells["covered"]) == ("0.70", "2 of 3")
    assert cells["sd %"].startswith("15.15 [")
    assert tables[0].notes == ["over swiglu"]
    assert tables[-1].rows[0]["narrow"] == 6


def test_masks_are_named_where_there_are_several_and_absences_told():
    def run(latency, *masks):
        return derived(*(
            {"variant": "a", "mask": mask, "key": mask, **around("latency_us", latency, 0.1)} for mask in masks
        ))  # fmt: skip

    tables = repeat_tables(repeats_of([run(1.0, "ones", "zeros"), run(1.0, "ones", "zeros"), run(1.0, "ones")]))
    assert [row["label"] for row in tables[0].rows] == ["a ones", "a zeros"]
    assert tables[0].notes == ["from fewer runs, which failed or where a case was its own baseline: a nm=1 2"]


def test_the_doctor_and_headings_know_what_was_found(notebook):
    assert repeat_finding(["hand-made CPU"]).status == "absent"
    assert repeat_finding(["hand-made CPU"]).advice == "mglubench repeat"
    assert repeat_lines([Device("cpu", "hand-made CPU")]) == []
    remember(repeats_of(noisy_runs(5, 0.02, 0.04)), make_header(), "mine")
    finding = repeat_finding(["hand-made CPU", "a card"])
    assert finding.status == "ok"
    assert "ratios differ by" in finding.detail
    assert "measured 2025-01-02" in finding.detail
    assert repeat_lines([Device("cpu", "hand-made CPU")] * 2) == [f"repeat: {finding.detail}"]


def test_a_damaged_notebook_is_the_doctors_business_alone(notebook):
    notebook.write_text("no table")
    assert repeat_finding(["hand-made CPU"]).status == "broken"
    assert repeat_lines([Device("cpu", "hand-made CPU")]) == []
