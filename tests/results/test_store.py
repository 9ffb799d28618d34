"""A run folder survives what happens to disks and processes."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import warnings

import pytest

from mglubench.errors import StoreError, UsageError
from mglubench.results import store as store_module
from mglubench.results.store import RunStore, list_runs, read_header, read_rows
from mglubench.system import lines
from tests.conftest import make_header, make_row

ROWS = [make_row("mglu", [100.0, 101.0], nm=nm) for nm in (1, 2, 3)]


@pytest.fixture
def run(tmp_path):
    """A run with three rows."""
    folder = tmp_path / "run"
    with RunStore.create(folder, make_header()) as store:
        for row in ROWS:
            store.append(row)
    return folder


def keys(folder):
    return [row.key for row in read_rows(folder)]


def test_each_row_is_on_disk_when_append_returns(tmp_path):
    with RunStore.create(tmp_path / "run", make_header()) as store:
        for count, row in enumerate(ROWS, 1):
            store.append(row)
            assert list(read_rows(tmp_path / "run")) == ROWS[:count]


def test_a_row_is_synced_before_append_returns(tmp_path, monkeypatch):
    synced = []
    with RunStore.create(tmp_path / "run", make_header()) as store:
        monkeypatch.setattr(lines.os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
        store.append(ROWS[0])
        assert synced == [(tmp_path / "run" / "rows.jsonl").stat().st_size]


def append_together(store, rows, then=None):
    """Rows of one set, and what may end it."""
    with store.together():
        for row in rows:
            store.append(row)
        if then:
            raise then


def test_rows_that_belong_together_are_synced_once_and_are_there_whatever_ends_them(tmp_path, monkeypatch):
    synced = []
    with RunStore.create(tmp_path / "run", make_header()) as store:
        monkeypatch.setattr(lines.os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
        with pytest.raises(KeyboardInterrupt):
            append_together(store, ROWS, KeyboardInterrupt)
        assert synced == [(tmp_path / "run" / "rows.jsonl").stat().st_size]
        store.append(make_row("mglu", [1.0], nm=4))
        assert len(synced) == 2
    assert list(read_rows(tmp_path / "run"))[:3] == ROWS


def test_rows_that_cannot_be_synced_together_are_none(run, monkeypatch):
    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    with RunStore.resume(run) as store:
        monkeypatch.setattr(lines.os, "fsync", fail)
        with pytest.raises(StoreError, match=r"Input/output error"):
            append_together(store, [make_row("mglu", [1.0], nm=nm) for nm in (4, 5)])
        monkeypatch.undo()
        store.append(make_row("mglu", [1.0], nm=6))
    assert [row.case.nm for row in read_rows(run)] == [1, 2, 3, 6]


def test_the_header_is_stored_with_the_schema(run):
    header = read_header(run)
    assert header["schema"] == store_module.SCHEMA
    assert header["environment"] == make_header()["environment"]


def test_a_run_without_rows_reads_as_empty(tmp_path):
    RunStore.create(tmp_path / "run", make_header()).close()
    assert keys(tmp_path / "run") == []


@pytest.mark.parametrize("kept", [0, 1, 50, -1])
def test_a_torn_last_line_is_left_out_with_a_warning_and_cut_off_on_resume(run, kept):
    path = run / "rows.jsonl"
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(whole[: last + max(kept, 0)] if kept >= 0 else whole[:-1])
    torn = kept != 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert keys(run) == [row.key for row in ROWS[:2]]
    assert any("cut short and is left out" in str(warning.message) for warning in caught) == torn
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with RunStore.resume(run) as store:
            store.append(ROWS[2])
    assert any("will be measured again" in str(warning.message) for warning in caught) == torn
    assert list(read_rows(run)) == ROWS


def test_a_torn_only_line_leaves_nothing(run):
    (run / "rows.jsonl").write_bytes(b'{"key": "a')
    with pytest.warns(UserWarning, match=r"cut short"):
        assert keys(run) == []


def test_a_torn_line_longer_than_a_read_is_found(run):
    with (run / "rows.jsonl").open("ab") as file:
        file.write(b'{"key": "' + b"x" * 200_000)
    with pytest.warns(UserWarning, match=r"cut short"):
        assert len(keys(run)) == 3


@pytest.mark.parametrize("damage", [b"{broken}", b"", b"\xff\xfe", b"NaN,"])
def test_a_damaged_line_in_the_middle_is_named_and_left_out(run, damage):
    lines = (run / "rows.jsonl").read_bytes().split(b"\n")
    (run / "rows.jsonl").write_bytes(b"\n".join([lines[0], damage, *lines[2:]]))
    with pytest.warns(UserWarning, match=r"rows\.jsonl, line 2: damaged row"):
        assert keys(run) == [ROWS[0].key, ROWS[2].key]


@pytest.mark.parametrize("size", [1, 100, 1000, 5000, 1 << 20])
def test_rows_do_not_depend_on_how_much_is_read_at_once(run, monkeypatch, size):
    monkeypatch.setattr(lines, "BLOCK", size)
    assert list(read_rows(run)) == ROWS
    whole = (run / "rows.jsonl").read_bytes()
    (run / "rows.jsonl").write_bytes(whole.replace(b'"nm":2', b'"nm":-2') + whole[: whole.index(b"\n") + 1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert keys(run) == [ROWS[0].key, ROWS[2].key]
    first, second = (str(warning.message) for warning in caught)
    assert "line 2: damaged row, left out: a size below its least" in first
    assert "line 4: damaged row, left out: its case has a row already, in line 1" in second


def test_a_newer_schema_asks_for_an_upgrade(run):
    header = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**header, "schema": store_module.SCHEMA + 1}))
    for attempt in (read_header, RunStore.resume):
        with pytest.raises(StoreError, match=r"has schema 3, this mglubench reads up to 2; upgrade"):
            attempt(run)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "old"}', "{}", "\x00"])
def test_a_damaged_header_is_no_traceback(run, content):
    (run / "run.json").write_text(content)
    with pytest.raises(StoreError, match=r"run\.json cannot be read"):
        read_header(run)


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run"):
        RunStore.resume(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"not a run folder"):
        read_header(tmp_path / "file")


def test_an_existing_run_is_not_overwritten(run):
    before = (run / "rows.jsonl").read_bytes()
    with pytest.raises(UsageError, match=r"holds a run already; continue it with --resume"):
        RunStore.create(run, make_header(name="other"))
    assert (run / "rows.jsonl").read_bytes() == before
    assert read_header(run)["name"] == "hand"


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to .*file/run.*choose another folder with --out"):
        RunStore.create(tmp_path / "file" / "run", make_header())


HOLDER = """
import sys
from pathlib import Path
from mglubench.results.store import RunStore
store = RunStore.resume(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(run):
    """Another process that holds the run's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_but_may_read(run, holder):
    with pytest.raises(StoreError, match=r"being written by another process"):
        RunStore.resume(run)
    assert len(keys(run)) == 3
    assert read_header(run)["name"] == "hand"


def test_the_lock_goes_with_the_process(run, holder):
    holder.kill()
    holder.wait()
    with RunStore.resume(run) as store:
        store.append(make_row("mglu", [1.0], nm=4))
    assert len(keys(run)) == 4


def test_the_lock_is_given_back_on_close(run):
    RunStore.resume(run).close()
    RunStore.resume(run).close()


@pytest.mark.parametrize("written", [0, 1, 100])
def test_a_full_disk_in_the_middle_of_a_row_keeps_the_rows_before_it(run, monkeypatch, written):
    original, calls = os.write, []

    def filling(fd, data):
        calls.append(len(data))
        if len(calls) == 1 and written:
            return original(fd, bytes(data)[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunStore.resume(run) as store:
        monkeypatch.setattr(lines.os, "write", filling)
        with pytest.raises(StoreError, match=r"No space left on device; all finished rows are kept.*--resume"):
            store.append(make_row("mglu", [1.0], nm=4))
        monkeypatch.undo()
        assert list(read_rows(run)) == ROWS
        store.append(make_row("mglu", [1.0], nm=4))
    assert len(keys(run)) == 4


def test_a_short_write_is_continued(run, monkeypatch):
    original = os.write
    monkeypatch.setattr(lines.os, "write", lambda fd, data: original(fd, bytes(data)[:7]))
    with RunStore.resume(run) as store:
        store.append(make_row("mglu", [1.0], nm=4))
    assert len(keys(run)) == 4


def test_a_failed_sync_is_no_row(run, monkeypatch):
    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    with RunStore.resume(run) as store:
        monkeypatch.setattr(lines.os, "fsync", fail)
        with pytest.raises(StoreError, match=r"Input/output error"):
            store.append(make_row("mglu", [1.0], nm=4))
    assert list(read_rows(run)) == ROWS


def test_a_full_disk_at_the_header_leaves_no_half_header(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lines.os, "fsync", fail)
    with pytest.raises(UsageError, match=r"No space left"):
        RunStore.create(tmp_path / "run", make_header())
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock"}
    monkeypatch.undo()
    RunStore.create(tmp_path / "run", make_header()).close()


def test_figures_that_are_no_numbers_are_never_written(run):
    with RunStore.resume(run) as store, pytest.raises(ValueError, match=r"JSON"):
        store.append(make_row("mglu", [float("nan")], nm=4))
    assert len(keys(run)) == 3


def test_runs_are_listed_oldest_first(tmp_path):
    for age, name in ((2, "c"), (1, "a"), (3, "b")):
        RunStore.create(tmp_path / name, make_header()).close()
        os.utime(tmp_path / name / "run.json", (age, age))
    (tmp_path / "no-run").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["a", "c", "b"]
    assert list_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["run.json", "rows.jsonl"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, name):
    folder = tmp_path / "run"
    RunStore.create(folder, make_header()).close()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(StoreError, match=f"{name} cannot be read: .*pipe or a device, no file"):
        list(read_rows(folder)) if name == "rows.jsonl" else read_header(folder)


@pytest.mark.parametrize("text", ["[]", "null", "5"])
def test_a_header_that_is_no_object_is_told_in_words(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(StoreError, match="cannot be read: it is no object, but " + re.escape(text)):
        read_header(tmp_path)
