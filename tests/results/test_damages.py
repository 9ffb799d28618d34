"""Damaged runs: through every reader one line that names the file, good rows come back, never a traceback."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mglubench
from mglubench.errors import MglubenchError
from mglubench.results.ceilings import NOTEBOOK, remembered
from mglubench.results.metrics import derive
from mglubench.results.runs import summary_of
from mglubench.results.store import RunStore, read_rows
from tests.conftest import make_header, make_row

ROWS = [make_row("glu", [1000, 1001, 1002], variant="swiglu", nm=0)]
ROWS += [make_row("mglu", [500, 501, 502], nm=nm) for nm in (1, 2)]


@pytest.fixture
def run(tmp_path):
    with RunStore.create(tmp_path / "run", make_header()) as store:
        for row in ROWS:
            store.append(row)
    return tmp_path / "run"


def change_row(run, number, change):
    """Write one row of a run anew, as ``change`` leaves it."""
    lines = (run / "rows.jsonl").read_text().splitlines()
    row = json.loads(lines[number])
    changed = change(row)
    lines[number] = changed if isinstance(changed, str) else json.dumps(row)
    (run / "rows.jsonl").write_text("\n".join(lines) + "\n")


def keys_and_warnings(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        keys = [row.key for row in read_rows(run)]
    return keys, [str(warning.message) for warning in caught]


BAD_SAMPLES = {
    "zero": "[500, 0]",
    "negative": "[-500]",
    "empty": "[]",
    "text": '["fast"]',
    "null": "[null]",
    "truth": "[true]",
    "no list": "500",
    "beyond": "[1e400]",
    "many digits": f"[{'9' * 500}]",
    "no number": "[NaN]",
    "tiny": "[1e-300]",
    "nested": "[[1]]",
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_samples_that_no_clock_gave_mark_their_row(run, name):
    change_row(run, 1, lambda row: json.dumps(row).replace("[500, 501, 502]", BAD_SAMPLES[name]))
    keys, said = keys_and_warnings(run)
    assert keys == [ROWS[0].key, ROWS[2].key]
    assert len(said) == 1
    assert f"{run / 'rows.jsonl'}, line 2: damaged row" in said[0]


ODD_VALUES = [None, True, 0, -1, 10**40, 1e300, "", "x", "\0", [], {}, [[]], "auto"]


@pytest.mark.parametrize("name", sorted(ROWS[1].to_dict()))
@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_value_anywhere_in_a_row_is_no_traceback(run, name, value):
    change_row(run, 1, lambda row: row.update({name: value}))
    assert_readable(run)


@pytest.mark.parametrize("table", ["case", "ledger", "overhead", "telemetry"])
@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_an_odd_value_in_a_table_of_a_row_is_no_traceback(run, table, value):
    for name in json.loads((run / "rows.jsonl").read_text().splitlines()[1])[table] or ["sm_mhz"]:
        before = (run / "rows.jsonl").read_text()
        change_row(run, 1, lambda row, name=name: row[table].update({name: value}))
        assert_readable(run)
        (run / "rows.jsonl").write_text(before)


def assert_readable(run):
    """Whoever reads the run gets figures, or one of our errors; its good rows are there."""
    keys, _ = keys_and_warnings(run)
    assert {ROWS[0].key, ROWS[2].key} <= {*keys}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = derive(mglubench.load(run, samples=True))
        assert len(frame) == len(keys)
        assert summary_of(run).done == len(keys)


def test_a_name_twice_in_a_row_is_told(run):
    change_row(run, 1, lambda row: json.dumps(row).replace('"stop"', '"status": "ok", "stop"'))
    keys, said = keys_and_warnings(run)
    assert keys == [ROWS[0].key, ROWS[2].key]
    assert "line 2: damaged row, left out: it has 'status' twice" in said[0]


def test_rows_with_notes_are_whole_and_a_name_twice_in_them_is_told(run):
    assert "notes" not in ROWS[1].to_dict()
    change_row(run, 1, lambda row: row.update(notes=["changed one thing; restored", 'said "stop": 1']))
    keys, said = keys_and_warnings(run)
    assert (len(keys), said) == (3, [])
    assert mglubench.load(run)["notes"].tolist()[1] == 'changed one thing; restored; said "stop": 1'
    change_row(run, 1, lambda row: json.dumps(row).replace('"stop":', '"notes": [], "stop":', 1))
    keys, said = keys_and_warnings(run)
    assert len(keys) == 2
    assert "it has 'notes' twice" in said[0]


def test_the_worker_of_a_fleet_is_columns_of_its_rows_and_a_name_twice_in_it_is_told(run):
    assert "worker" not in ROWS[1].to_dict()
    assert not [name for name in mglubench.load(run) if name.startswith("worker_")]
    change_row(run, 1, lambda row: row.update(worker={"host": "node-7", "uuid": "GPU-1", "power_limit_watts": 350.0}))
    keys, said = keys_and_warnings(run)
    assert (len(keys), said) == (3, [])
    frame = mglubench.load(run)
    assert frame["worker_host"].tolist()[1] == "node-7"
    assert frame["worker_uuid"].isna().tolist() == [True, False, True]
    assert frame["worker_power_limit_watts"][1] == 350.0
    change_row(run, 1, lambda row: json.dumps(row).replace('"uuid":', '"host": "another", "uuid":', 1))
    keys, said = keys_and_warnings(run)
    assert len(keys) == 2
    assert "it has 'host' twice" in said[0]


def test_text_that_looks_like_a_name_is_text(run):
    change_row(run, 1, lambda row: row.update(reason='said {"status": 1, "status": 2}'))
    keys, said = keys_and_warnings(run)
    assert (len(keys), said) == (3, [])


def test_the_second_row_of_a_case_is_left_out(run):
    with (run / "rows.jsonl").open("a") as file:
        file.write(json.dumps(ROWS[1].to_dict()) + "\n")
    keys, said = keys_and_warnings(run)
    assert keys == [row.key for row in ROWS]
    assert "line 4: damaged row, left out: its case has a row already, in line 2" in said[0]


def test_many_damaged_rows_are_told_of_in_few_lines(run):
    with (run / "rows.jsonl").open("ab") as file:
        file.write(b"\0\n" * 1000)
    keys, said = keys_and_warnings(run)
    assert len(keys) == 3
    assert len(said) == 6
    assert "995 more damaged rows" in said[-1]


@pytest.mark.parametrize("name", ["rows.jsonl", "run.json", "counters.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_our_error(run, name):
    (run / name).unlink(missing_ok=True)
    (run / name).mkdir()
    with pytest.raises(MglubenchError):
        mglubench.load(run)
    assert name == "counters.jsonl" or "unreadable" in summary_of(run).note


def odd_headers():
    """Headers with one thing missing or of another kind, at any depth that is looked at."""
    whole = {"schema": 1, **make_header()}
    for name in whole:
        yield f"no {name}", {key: value for key, value in whole.items() if key != name}
        for value in (None, True, -1.5, "x", [], {}):
            yield f"{name} {value!r}", {**whole, name: value}
    for name in ("time", "python", "packages", "cpu", "devices", "git"):
        rest = {key: value for key, value in whole["environment"].items() if key != name}
        yield f"no {name}", {**whole, "environment": rest}
        for value in (True, -1.5, "x", [], [1], {"a": 1}, {"a": []}):
            yield f"{name} {value!r}", {**whole, "environment": {**rest, name: value}}


@pytest.mark.parametrize(("name", "header"), list(odd_headers()))
def test_an_odd_header_is_our_error_or_harmless(run, name, header):
    from mglubench.report.summary import heading

    (run / "run.json").write_text(json.dumps(header))
    assert summary_of(run).run == str(run)
    said = complaint_of(run)
    if said:
        assert str(run / "run.json") in said
        assert "\n" not in said
    else:
        assert heading(derive(mglubench.load(run, samples=True)))


def complaint_of(run):
    """Our error for a run, if it cannot be loaded."""
    try:
        derive(mglubench.load(run, samples=True))
    except MglubenchError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"schema": 1, "schema": 1}', '{"schema": 1e400}'])
def test_a_header_that_is_deep_or_double_names_its_file(run, text):
    (run / "run.json").write_text(text)
    with pytest.raises(MglubenchError, match=r"run\.json cannot be read"):
        mglubench.load(run)
    assert "run.json cannot be read" in summary_of(run).note


@pytest.mark.parametrize("rate", ["0", "-1", "1e400", '"fast"', "null", "[]", "9" * 500])
def test_a_ceiling_that_is_none_names_the_table(tmp_path, monkeypatch, rate):
    path = tmp_path / "ceilings.json"
    monkeypatch.setenv(NOTEBOOK.variable, str(path))
    entry = f'{{"rate": {rate}, "run": "r", "time": "2025"}}'
    path.write_text(f'{{"version": 1, "devices": {{"GPU": {{"memory": {entry}}}}}}}')
    with pytest.raises(MglubenchError, match=r"ceilings\.json is not a table of ceilings"):
        remembered("GPU")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_at_random_places_lose_no_other_row(run, data):
    whole = b"".join(json.dumps(row.to_dict()).encode() + b"\n" for row in ROWS)
    lines = whole.splitlines(keepends=True)
    start = len(lines[0])
    where = data.draw(st.integers(start, start + len(lines[1]) - 2))
    length = data.draw(st.integers(0, 30))
    junk = data.draw(st.binary(max_size=30)).replace(b"\n", b" ")
    end = min(where + length, start + len(lines[1]) - 1)
    (run / "rows.jsonl").write_bytes(whole[:where] + junk + whole[end:])
    assert_readable(run)
