"""A sweep of a user without a home and without a name: what was measured is kept, and nothing else is written."""

from __future__ import annotations

import json
import os

from tests.conftest import run_command

BOOKS = {"MGLUBENCH_CEILINGS", "MGLUBENCH_REPEATS", "MGLUBENCH_TUNING", "MGLUBENCH_CACHE"}
# What a container with an arbitrary user id looks like from within.
NOBODY = """
import pwd

def unknown(who):
    raise KeyError(f"uid not found: {who}")

pwd.getpwuid = unknown
"""


def test_a_sweep_ends_well_and_makes_no_folder_named_tilde(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NOBODY)
    (tmp_path / "here").mkdir()
    known = {"HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_DATA_HOME", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment = {name: value for name, value in environment.items() if name not in BOOKS}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path / "site"), os.environ.get("PYTHONPATH"))))
    given = (
        "--shape",
        "24x8",
        "--variants",
        "lu",
        "--max-seconds",
        "0.02",
        "--rounds",
        "1",
        "--processes",
        "1",
        "--device",
        "cpu",
        "--out",
        "run",
    )
    swept = run_command("sweep", *given, cwd=tmp_path / "here", env=environment)
    assert swept.code == 0, swept.err
    assert "no home is known to keep a table of ceilings in; set MGLUBENCH_CEILINGS to a file" in swept.err
    rows = [json.loads(line) for line in (tmp_path / "here" / "run" / "rows.jsonl").read_text().splitlines()]
    assert {row["status"] for row in rows} == {"ok"}
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["run"]
    told = run_command("doctor", cwd=tmp_path / "here", env=environment)
    assert told.code == 0, told.err
