"""The story of a sweep, told from Python: what it returns, what it tells, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import mglubench
from mglubench.errors import MglubenchError, UsageError
from mglubench.runner.progress import Progress

TINY = {"h": 64, "d": [96], "nm": [1, 3], "variants": "swiglu,mglu-naive", "executor": "fake"}


class Listener(Progress):
    def __init__(self, stop_after=None):
        self.events, self._stop_after = [], stop_after

    def planned(self, plan, folder, done):
        self.events.append(("planned", len(plan.cases), str(folder), done))

    def phase(self, name, case):
        self.events.append((name, case.key))

    def finished(self, measurement):
        self.events.append(("finished", measurement.case.key))
        if sum(event[0] == "finished" for event in self.events) == self._stop_after:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_sweep_from_python_returns_its_derived_run():
    frame = mglubench.sweep(**TINY, ceiling=False, name="mine")
    assert sorted(zip(frame["variant"], frame["nm"], strict=True)) == [
        ("mglu-naive", 1),
        ("mglu-naive", 3),
        ("swiglu", 0),
    ]
    assert ((frame["vs_glu"] < 1) == (frame["layer"] == "mglu")).all()
    assert all(len(samples) >= 10 for samples in frame["samples_ns"])
    folder = Path(frame.attrs["run"]["folder"])
    assert folder.parent == Path("runs")
    assert mglubench.load(folder)["key"].tolist() == frame["key"].tolist()


def test_every_event_is_told_in_order():
    told = Listener()
    frame = mglubench.sweep(**TINY, ceiling=False, out="run", progress=told)
    assert told.events[0] == ("planned", 3, "run", 0)
    for key in frame["key"]:
        mine = [event[0] for event in told.events[1:] if event[1] == key]
        assert (mine[0], set(mine[1:-1]), mine[-1]) == ("prepare", {"prepare", "sample", "check"}, "finished")


def test_an_interrupted_sweep_keeps_its_rows_and_goes_on():
    with pytest.raises(KeyboardInterrupt):
        mglubench.sweep(**TINY, ceiling=False, out="run", progress=Listener(stop_after=2))
    assert len(mglubench.load("run")) == 2
    told = Listener()
    assert len(mglubench.sweep(**TINY, ceiling=False, out="run", resume=True, progress=told)) == 3
    assert told.events[0] == ("planned", 3, "run", 2)
    assert sum(event[0] == "finished" for event in told.events) == 1


def test_a_sweep_file_is_overridden_by_options(tmp_path):
    (tmp_path / "mine.toml").write_text("h = [8]\nd = [16]\nnm = [2]\nvariants = ['mglu-naive']\nceiling = false\n")
    frame = mglubench.sweep(config="mine.toml", shape=["24x8", "8x24"], seed=3, executor="fake")
    assert frame[["h", "d", "nm", "seed"]].to_numpy().tolist() == [[24, 8, 2, 3], [8, 24, 2, 3]]


def test_a_failing_case_is_a_row_and_no_exception(monkeypatch):
    monkeypatch.setenv("MGLUBENCH_FAKE_FAULTS", "swiglu=crash")
    frame = mglubench.sweep(**TINY, ceiling=False)
    assert sorted(frame["status"]) == ["crash", "ok", "ok"]
    assert "planted fault" in frame["reason"].max()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mn": 4}, "unknown option 'mn'; did you mean nm?"),
        ({"nm": [0]}, "nm is 0"),
        ({"variants": ["swiglo"]}, "did you mean swiglu"),
        ({"executor": "fako"}, "unknown executor 'fako'"),
        ({"resume": True}, "--resume needs --out"),
        ({"config": "nowhere"}, "no sweep file 'nowhere'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        mglubench.sweep(**{**TINY, **options})
    assert list(tmp_path.iterdir()) == []


def test_errors_are_of_the_one_tree():
    with pytest.raises(MglubenchError, match="no CUDA device can be used here"):
        mglubench.sweep(**TINY, device="cuda")
