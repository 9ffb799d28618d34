"""Tables in the repository are what the tool prints from rows and figures that are there too."""

from __future__ import annotations

from tests.conftest import ROOT

REPEATS = ROOT / "reports" / "cpu-repeats"


def test_what_runs_differ_by_is_printed_from_the_runs(cli):
    runs = sorted(str(folder) for folder in REPEATS.iterdir() if folder.is_dir())
    done = cli("repeat", "--of", *runs, "--markdown")
    assert done.code == 0
    assert done.out == (REPEATS / "tables.md").read_text()
