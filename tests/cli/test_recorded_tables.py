"""Tables in the repository are what the tool prints from rows and figures that are there too."""

from __future__ import annotations

import pytest

from tests.benchmarks import layer, serving
from tests.conftest import ROOT

REPEATS = ROOT / "reports" / "cpu-repeats"


def test_what_runs_differ_by_is_printed_from_the_runs(cli):
    runs = sorted(str(folder) for folder in REPEATS.iterdir() if folder.is_dir())
    done = cli("repeat", "--of", *runs, "--markdown")
    assert done.code == 0
    assert done.out == (REPEATS / "tables.md").read_text()


@pytest.mark.parametrize(("name", "main"), [("layer", layer.main), ("serving", serving.main)])
def test_tables_of_the_readme_are_printed_from_what_processes_found(capsys, name, main):
    main(["--from", str(ROOT / "reports" / "model-layer" / f"{name}.json")])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    readme = (ROOT / "README.md").read_text().splitlines()
    assert len(rows) > 8
    assert not [row for row in rows if row not in readme]


def test_the_readme_tells_what_the_main_job_s_tables_tell(cli):
    folder = ROOT / "reports" / "cpu-main-job"
    done = cli("report", str(folder), "--markdown")
    tables = (folder / "tables.md").read_text()
    assert done.out == tables
    told = (ROOT / "README.md").read_text().partition("## What the main job prints")[2].partition("![Latency")[0]
    rows = [line for line in told.splitlines() if line.startswith(("| ", "Measured: "))]
    assert len(rows) > 15
    assert not [row for row in rows if row not in tables.splitlines()]
