"""Published schemas are the code's; what is recorded and what commands write keep to them, what is none does not."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import pytest

from mglubench.cases.config import KNOWN
from mglubench.report.stored_schemas import STORED
from tests.conftest import ROOT, make_row

FOLDER = ROOT / "docs" / "schemas"
LINES = {
    "reports/cpu-main-job/rows.jsonl": "row",
    "reports/h100/main-job/rows.jsonl": "row",
    "tests/fixtures/run_a33161e_real/rows.jsonl": "row",
    "tests/fixtures/run_a33161e_fake/rows.jsonl": "row",
}
RUN = ("--executor", "fake", "--h", "64", "--d", "96", "--nm", "1", "--variants", "swiglu,mglu-naive")


def published(name):
    return jsonschema.Draft202012Validator(json.loads((FOLDER / f"{name}.schema.json").read_text()))


def complaints(name, document):
    return [error.message for error in published(name).iter_errors(document)]


@pytest.mark.parametrize("name", STORED)
def test_the_published_schema_is_what_the_code_says(name):
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == json.loads(json.dumps(STORED[name]())), "python -m tests.report.test_stored_schemas"


def test_a_schema_is_published_for_each_and_each_is_told():
    assert {path.name.removesuffix(".schema.json") for path in FOLDER.iterdir()} == set(STORED)
    page = (ROOT / "docs" / "formats.md").read_text()
    assert [name for name in STORED if f"(schemas/{name}.schema.json)" not in page] == []


@pytest.mark.parametrize("name", LINES)
def test_recorded_rows_keep_to_it(name):
    rows = [json.loads(line) for line in (ROOT / name).read_text().splitlines()]
    assert len(rows) > 10
    assert [words for row in rows[:40] for words in complaints(LINES[name], row)] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("reports/**/run.json")), ids=lambda path: path.parent.name)
def test_recorded_headers_keep_to_it(path):
    header = json.loads(path.read_text())
    if "sweep" not in header:
        pytest.skip("the header of an experiment, which is no run")
    assert complaints("run", header) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("sweeps/*.toml")), ids=lambda path: path.stem)
def test_shipped_sweep_files_keep_to_it(path):
    values = tomllib.loads(path.read_text())
    assert bool(complaints("sweep", values)) == (path.stem == "campaign")


def test_what_commands_write_keeps_to_it(cli, tmp_path, monkeypatch):
    from mglubench.kernels.tuning import Choice, Job, remember
    from mglubench.results import ceilings, repeat_notebook
    from mglubench.results.counters import failed_row
    from mglubench.results.repeats import read_repeats
    from mglubench.results.store import read_header
    from mglubench.status import Status

    for book in ("CEILINGS", "REPEATS", "TUNING"):
        monkeypatch.setenv(f"MGLUBENCH_{book}", str(tmp_path / f"{book.lower()}.json"))
    assert cli("repeat", "--times", "2", *RUN, "--out", "runs").code == 0
    assert cli("baseline", "save", "main", "runs").code == 0
    # A fake run is not remembered; as if it had been a real one.
    for path in tmp_path.glob("runs/*/run.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "fake": False}))
    runs = sorted(path.parent for path in tmp_path.glob("runs/*/run.json"))
    assert ceilings.remember(runs[0]) == ""
    assert repeat_notebook.remember(read_repeats(runs), read_header(runs[0]), "runs") == ""
    remember("a chip", Job("a_kernel", 64, 96, 1, 1, "float32"), Choice.of(2, WARPS=4), 1000.0)
    assert complaints("baseline", json.loads((tmp_path / "baselines" / "main" / "baseline.json").read_text())) == []
    for name in ("ceilings", "repeats", "tuning"):
        assert complaints(name, json.loads((tmp_path / f"{name}.json").read_text())) == [], name
    failed = failed_row("ncu", "a/case", Status.ERROR, "it fell over", {"launches": 3, "source": "x.csv"})
    assert complaints("counter_row", failed.to_dict()) == []
    document = json.loads(cli("compare", str(runs[0]), str(runs[1]), "--json").out)
    assert complaints("compare", document) == []


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("row", {"samples": ["quick"]}),
        ("run", {"schema": 2}),
        ("counter_row", {"key": "a", "tool": "ncu", "status": "ok", "how_it_was": ["a", "list"]}),
        ("baseline", {"format": 1, "name": "a", "saved": "today", "runs": [{"folder": 3}]}),
        ("ceilings", {"version": 1, "devices": {"a": {"memory": {"rate": 0, "run": "", "time": ""}}}}),
        ("repeats", {"version": 1, "devices": {"a": {"run": "b"}}}),
        ("tuning", {"version": 1, "choices": {"a": {"macros": {"MGLU_WARPS": "four"}, "split_k": 0}}}),
        ("tuning", {"version": 2, "choices": {}}),
        ("sweep", {"shapes": ["2048x8192"]}),
        ("sweep", {"shape": ["2048"]}),
        ("sweep", {"rounds": 1.5}),
    ],
)
def test_what_is_none_does_not(name, document):
    assert complaints(name, document)


def test_a_row_without_its_case_is_none():
    row = make_row("glu", [1000.0], variant="swiglu", nm=0).to_dict()
    assert complaints("row", row) == []
    assert complaints("row", {name: value for name, value in row.items() if name != "case"})


def test_a_sweep_file_has_the_keys_of_the_reader():
    assert tuple(STORED["sweep"]()["properties"]) == KNOWN


if __name__ == "__main__":
    for stored, schema in STORED.items():
        (FOLDER / f"{stored}.schema.json").write_text(json.dumps(schema(), indent=1) + "\n")
