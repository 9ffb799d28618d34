"""Running a plan: what is done is never done again, every row is stored at once, another sweep is refused."""

from __future__ import annotations

import json

import pytest

from mglubench.cases.config import build_spec
from mglubench.errors import StoreError, UsageError
from mglubench.executors.fake import FakeSession
from mglubench.results.store import RunStore, read_header, read_rows
from mglubench.runner.plan import make_plan
from mglubench.runner.run import differences, open_store, run_plan

OPTIONS = {"shape": "24x8,24x16", "nm": "1,2", "variants": "lu,mglu-naive", "ceiling": False}


def plan(**changes):
    return make_plan(build_spec({**OPTIONS, **changes}), FakeSession())


def keys(folder):
    return [row.key for row in read_rows(folder)]


def test_rows_are_stored_as_they_come_with_their_layer(tmp_path):
    folder, seen = tmp_path / "run", []
    with open_store(folder, plan(), resume=False) as store:
        count = run_plan(plan(), store, FakeSession(), finished=lambda m: seen.append((m.case.key, keys(folder)[-1])))
    assert count == len(seen) == 6
    assert all(key == stored for key, stored in seen)
    assert {row.layer for row in read_rows(folder)} == {"lu", "mglu"}


@pytest.mark.parametrize("stop_after", range(6))
def test_a_run_cut_off_anywhere_is_completed_without_repetition(tmp_path, stop_after):
    class StopError(Exception):
        pass

    def stop(measurement):
        done.append(measurement)
        if len(done) > stop_after:
            raise StopError

    done = []
    with open_store(tmp_path / "run", plan(), resume=False) as store, pytest.raises(StopError):
        run_plan(plan(), store, FakeSession(), finished=stop)
    before = list(read_rows(tmp_path / "run"))
    assert len(before) == stop_after + 1
    with open_store(tmp_path / "run", plan(), resume=True) as store:
        assert run_plan(plan(), store, FakeSession()) == 6 - len(before)
    after = list(read_rows(tmp_path / "run"))
    assert after[: len(before)] == before
    assert {row.key for row in after} == {case.key for case in plan().cases}
    assert len(after) == 6


def test_a_failed_case_is_not_tried_again(tmp_path):
    with open_store(tmp_path / "run", plan(), resume=False) as store:
        run_plan(plan(), store, FakeSession({"lu": "crash"}))
    with open_store(tmp_path / "run", plan(), resume=True) as store:
        assert run_plan(plan(), store, FakeSession()) == 0
    assert [row.status for row in read_rows(tmp_path / "run")].count("crash") == 2


def test_a_row_that_cannot_be_written_ends_the_run(tmp_path, monkeypatch):
    with open_store(tmp_path / "run", plan(), resume=False) as store:
        monkeypatch.setattr(store, "append", lambda row: (_ for _ in ()).throw(StoreError("full")))
        with pytest.raises(StoreError, match=r"full"):
            run_plan(plan(), store, FakeSession())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nm": "1"}, r"nm \(1,2 there, 1 here\)"),
        ({"shape": "24x8"}, r"shapes \(24x8,24x16 there, 24x8 here\)"),
        ({"variants": "lu"}, "variants"),
        ({"seed": 3}, r"seed \(0 there, 3 here\)"),
        ({"target_noise": 0.2}, "measure"),
    ],
)
def test_another_sweep_is_refused_with_the_difference(tmp_path, changes, words):
    open_store(tmp_path / "run", plan(), resume=False).close()
    with pytest.raises(UsageError, match=words):
        open_store(tmp_path / "run", plan(**changes), resume=True)


def test_the_name_of_a_sweep_is_no_difference(tmp_path):
    open_store(tmp_path / "run", plan(), resume=False).close()
    open_store(tmp_path / "run", plan(name="other"), resume=True).close()


def test_another_machine_is_another_sweep(tmp_path):
    open_store(tmp_path / "run", plan(), resume=False).close()
    stored = read_header(tmp_path / "run")
    moved = json.loads(json.dumps(stored))
    moved["environment"]["devices"]["cpu"]["name"] = "another CPU"
    assert "another CPU" in differences(moved, plan().header())
    assert differences(stored, plan().header()) == ""
    assert "executor" in differences({**stored, "fake": False}, plan().header())


def test_resuming_needs_a_run(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run"):
        open_store(tmp_path / "nowhere", plan(), resume=True)
    RunStore.create(tmp_path / "run", plan().header()).close()
    with pytest.raises(UsageError, match=r"holds a run already"):
        open_store(tmp_path / "run", plan(), resume=False)


def test_until_leaves_whole_groups_for_a_resume(tmp_path):
    folder = tmp_path / "run"
    asked: list[int] = []

    def until(group):
        asked.append(len(group))
        return len(asked) > 1

    with open_store(folder, plan(), resume=False) as store:
        measured = run_plan(plan(), store, FakeSession(), until=until)
    assert measured == asked[0] == len(keys(folder))
    with open_store(folder, plan(), resume=True) as store:
        assert run_plan(plan(), store, FakeSession()) == len(plan().cases) - measured
