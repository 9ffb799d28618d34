"""Repeats: a run folder each, gone on with, never mixed with another sweep."""

from __future__ import annotations

import pytest

from mglubench.cases.config import merged_spec
from mglubench.errors import UsageError
from mglubench.executors.open import open_session
from mglubench.results.store import read_rows
from mglubench.runner.progress import Progress
from mglubench.runner.repeat import repeat, stored_repeats
from tests.conftest import tree


class Opener:
    """Counts the sessions that it opens."""

    def __init__(self):
        self.count = 0

    def __call__(self, seconds):
        self.count += 1
        return open_session("fake", seconds)


def tiny(**more):
    given = {"shape": "64x96", "nm": "1", "variants": "swiglu,mglu-naive", "ceiling": False, **more}
    return merged_spec(given, None, lambda names: None)


def test_every_repeat_is_a_run_with_a_session_of_its_own(tmp_path):
    opener, lines = Opener(), []
    found = repeat(tiny(), 3, opener, tmp_path / "r", tell=lines.append)
    assert [run.folder.name for run in found.runs] == ["01", "02", "03"]
    assert opener.count == 3
    assert found.good
    assert all(len(list(read_rows(run.folder))) == 2 for run in found.runs)
    assert lines[0] == "repeat 1 of 3"
    assert lines[-1] == "repeat 3 of 3: 2 ok"


def test_what_was_interrupted_goes_on_and_what_is_finished_stays(tmp_path):
    class Impatient(Progress):
        left = 3

        def finished(self, measurement):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    # One row a set: what a set has no row of is measured again together.
    spec = tiny(shape="64x96,96x64", variants="mglu-naive")
    with pytest.raises(KeyboardInterrupt):
        repeat(spec, 3, Opener(), tmp_path / "r", progress=Impatient())
    first, second = tree(tmp_path / "r" / "01"), list(read_rows(tmp_path / "r" / "02"))
    assert len(second) == 1
    opener = Opener()
    found = repeat(spec, 3, opener, tmp_path / "r")
    assert opener.count == 3
    assert tree(tmp_path / "r" / "01") == first
    assert list(read_rows(tmp_path / "r" / "02"))[:1] == second
    assert [run.counts.total() for run in found.runs] == [2, 2, 2]
    # The first is opened to compare the sweep; the others are not.
    assert repeat(spec, 3, opener, tmp_path / "r").good
    assert opener.count == 4


def test_another_sweep_is_refused_before_anything_is_measured(tmp_path):
    repeat(tiny(), 2, Opener(), tmp_path / "r")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="holds another sweep; it differs in nm"):
        repeat(tiny(nm="2"), 3, Opener(), tmp_path / "r")
    with pytest.raises(UsageError, match="holds a run, not repeats"):
        repeat(tiny(), 3, Opener(), tmp_path / "r" / "01")
    with pytest.raises(UsageError, match="times is 1"):
        repeat(tiny(), 1, Opener(), tmp_path / "new")
    assert tree(tmp_path) == before


def test_repeats_that_measure_nothing_end(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "swiglu=crash,mglu-naive=crash")
    lines = []
    found = repeat(tiny(), 5, Opener(), tmp_path / "r", tell=lines.append)
    assert len(found.runs) == 1
    assert not found.good
    assert lines[-1] == "repeat 1 measured nothing; no more of them"


def test_stored_runs_are_taken_one_by_one_or_by_their_folder(tmp_path):
    repeat(tiny(), 3, Opener(), tmp_path / "r")
    repeat(tiny(nm="2"), 2, Opener(), tmp_path / "other")
    one, two = tmp_path / "r" / "01", tmp_path / "r" / "02"
    assert [run.folder.name for run in stored_repeats([tmp_path / "r"]).runs] == ["01", "02", "03"]
    assert [run.folder.name for run in stored_repeats([two, one]).runs] == ["02", "01"]
    for given, words in (
        ([one], "1 run given"),
        ([one, one], "given twice"),
        ([one, tmp_path / "other" / "01"], "differs in nm"),
        ([one, tmp_path / "nix"], "holds no run"),
    ):
        with pytest.raises(UsageError, match=words):
            stored_repeats(given)
