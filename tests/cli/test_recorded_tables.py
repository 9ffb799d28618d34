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
