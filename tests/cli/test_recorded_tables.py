"""Tables in the repository are what the tool prints from rows and figures that are there too."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import batch, layer, serving
from tests.conftest import ROOT

REPEATS = ROOT / "reports" / "cpu-repeats"


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch, tmp_path):
    """What other tests found out about this machine is no part of a recorded table."""
    monkeypatch.setenv("MGLUBENCH_REPEATS", str(tmp_path / "repeats.json"))


def test_what_runs_differ_by_is_printed_from_the_runs(cli):
    runs = sorted(str(folder) for folder in REPEATS.iterdir() if folder.is_dir())
    done = cli("repeat", "--of", *runs, "--markdown")
    assert done.code == 0
    assert done.out == (REPEATS / "tables.md").read_text()


@pytest.mark.parametrize(("name", "main"), [("layer", layer.main), ("serving", serving.main), ("batch", batch.main)])
def test_tables_of_the_models_page_are_printed_from_what_processes_found(capsys, name, main):
    main(["--from", str(ROOT / "reports" / "model-layer" / f"{name}.json")])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    page = (ROOT / "docs" / "models.md").read_text().splitlines()
    assert len(rows) > 8
    assert not [row for row in rows if row not in page]


def test_the_readme_tells_what_serving_costs_by_rows_of_the_models_page():
    told = (ROOT / "README.md").read_text().partition("## Models")[2].splitlines()
    rows = [line for line in told if line.startswith("| ")]
    page = (ROOT / "docs" / "models.md").read_text().splitlines()
    assert [row.split(" | ")[:2] for row in rows[2:]] == [
        ["| 1", "1"],
        ["| 1", "512"],
        ["| 4", "1"],
        ["| 4", "16"],
        ["| 4", "512"],
    ]
    assert not [row for row in rows if row not in page]


# A run's section of the README, and how many lines of its tables stand there at least: of the CPU, the paragraph.
RUNS = {
    "cpu-main-job": ("## On a CPU: what the main job prints", 1),
    "h100/main-job": ("## On an H100", 16),
    "h100/two-shapes": ("", 0),
    "h100/first-contact": ("", 0),
    "h100/reshaped": ("", 0),
}
# What the README answers with: the speed-up over the fastest GLU, by run, variant and nm.
ANSWER = {
    ("h100/main-job", "flash-mglu-mma", 1): "1.75",
    ("h100/main-job", "flash-mglu-mma", 8): "1.26",
    ("cpu-main-job", "mglu-numba-cpu", 1): "1.86",
    ("cpu-main-job", "mglu-numba-cpu", 8): "1.11 [0.99, 1.24]",
}


@pytest.mark.parametrize(("place", "figure"), ANSWER.items())
def test_the_readme_answers_with_figures_of_recorded_tables(place, figure):
    run, variant, nm = place
    assert figure in (ROOT / "README.md").read_text().partition("Does a layer with one")[2].partition("\n\n")[0]
    rows = [line.replace("*", "").split(" | ") for line in (ROOT / "reports" / run / "tables.md").open()]
    first = next(cells for cells in rows if cells[:2] == [f"| {variant}", str(nm)])
    assert any(cell.startswith(figure) for cell in first[-3:]), first


@pytest.mark.parametrize(("run", "told_there"), RUNS.items())
def test_tables_of_runs_are_what_report_prints_and_the_readme_tells_no_other(cli, run, told_there):
    section, least = told_there
    folder = ROOT / "reports" / run
    done = cli("report", str(folder), "--markdown")
    tables = (folder / "tables.md").read_text()
    assert done.out == tables
    if section:
        told = (ROOT / "README.md").read_text().partition(section)[2].partition("![Latency")[0]
        rows = [line for line in told.splitlines() if line.startswith(("| ", "Measured: "))]
        assert len(rows) >= least
        assert not [row for row in rows if row not in tables.splitlines()]


@pytest.mark.parametrize("run", ["main-job", "two-shapes", "reshaped"])
def test_estimates_beside_runs_are_what_predict_prints(cli, run):
    folder = REPEATS.parent / "h100" / run
    done = cli("predict", "--against", str(folder), "--datasheet", "--markdown")
    assert done.out == (folder / "predicted.md").read_text()


@pytest.mark.parametrize(("run", "results"), [("verify", {"right"}), ("reshaped/verify", {"right", "not run"})])
def test_what_was_verified_on_a_card_was_right(run, results):
    files = sorted((REPEATS.parent / "h100" / run).glob("*.json"))
    found = [entry for file in files for entry in json.loads(file.read_text())["variants"]]
    assert {entry["result"] for entry in found} == results
    passed, cases = (sum(entry[name] for entry in found) for name in ("passed", "cases"))
    assert passed == cases
    assert f"{passed} of {cases} cases right" in (REPEATS.parent / "h100" / "NOTES.md").read_text()
