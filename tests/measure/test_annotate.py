"""NVTX ranges, seen by a stand-in for the nvtx package that records pushes and pops."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError
from mglubench.executors import local
from mglubench.executors.local import LocalSession
from mglubench.executors.rounds import measure_set
from mglubench.measure import annotate
from mglubench.measure.annotate import BACKEND_COLOURS, case_range, phase_range
from mglubench.variants.registry import variants
from tests.conftest import make_case, run_command

BRIEF = MeasureSettings(max_seconds=0.01, min_samples=3, max_samples=5, rounds=1, processes=1)


class Recorder:
    """A domain that listens: events are ``(depth, name)`` for pushes; a pop without a push is an error."""

    def __init__(self, name):
        self.name, self.depth = name, 0
        self.pushed, self.attributes = [], []

    def get_event_attributes(self, message, color, category):
        return {"message": message, "color": color, "category": category}

    def push_range(self, attributes):
        self.pushed.append((self.depth, attributes["message"]))
        self.attributes.append(attributes)
        self.depth += 1

    def pop_range(self):
        assert self.depth > 0
        self.depth -= 1

    def paths(self):
        """Every range with the names of those around it."""
        found, stack = [], []
        for depth, name in self.pushed:
            stack[depth:] = [name]
            found.append(tuple(stack))
        return found


@pytest.fixture
def domains(monkeypatch):
    """All domains that were asked for, by name, from a stand-in nvtx."""
    made = {}
    stub = SimpleNamespace(get_domain=lambda name: made.setdefault(name, Recorder(name)))
    monkeypatch.setitem(sys.modules, "nvtx", stub)
    annotate._domain.cache_clear()
    yield made
    annotate._domain.cache_clear()


@pytest.fixture
def session():
    session = LocalSession()
    yield session
    session.close()


def test_a_range_is_pushed_with_key_colour_and_category_in_the_projects_own_domain(domains):
    with case_range("swiglu/64x96", "torch"), phase_range("timed"):
        pass
    assert list(domains) == ["mglubench"]
    recorder = domains["mglubench"]
    assert recorder.pushed == [(0, "swiglu/64x96"), (1, "timed")]
    assert recorder.attributes[0] == {"message": "swiglu/64x96", "color": 0xD55E00, "category": "torch"}
    assert recorder.depth == 0


def test_every_backend_has_a_colour_of_its_own():
    backends = {variant.backend for variant in variants().values()}
    assert backends <= set(BACKEND_COLOURS)
    assert len(set(BACKEND_COLOURS.values())) == len(BACKEND_COLOURS)
    assert case_range("k", "somebody-else")


def test_ranges_are_closed_when_something_is_raised(domains):
    with pytest.raises(ZeroDivisionError), case_range("key", "cuda"), phase_range("prepare"):
        _ = 1 / 0
    assert domains["mglubench"].depth == 0


def test_a_group_of_cases_opens_one_range_per_step_and_never_one_case_inside_another(domains, session):
    cases = [make_case(variant="lu", nm=0), make_case(variant="mglu-naive", nm=2)]
    found = list(measure_set(session, cases, BRIEF))
    assert [measurement.status for measurement in found] == ["ok", "ok"]
    recorder = domains["mglubench"]
    assert recorder.depth == 0
    keys = {case.key for case in cases}
    assert {path[0] for path in recorder.paths()} == keys
    for key in keys:
        phases = [path[1] for path in recorder.paths() if path[0] == key and len(path) == 2]
        assert phases[:2] == ["prepare", "warm-up"]
        assert phases[-1] == "check"
        assert set(phases[2:-1]) == {"timed"}
    assert max(depth for depth, _ in recorder.pushed) == 1


def test_a_case_that_fails_leaves_no_range_open(domains, session, monkeypatch):
    monkeypatch.setattr(local.Problem, "make", lambda *rest: 1 / 0)
    with pytest.raises(CaseError, match="ZeroDivisionError"):
        session.prepare(make_case(variant="lu", nm=0))
    assert domains["mglubench"].pushed == [(0, make_case(variant="lu", nm=0).key), (1, "prepare")]
    assert domains["mglubench"].depth == 0


def test_an_unknown_variant_is_still_one_line(domains, session):
    with pytest.raises(CaseError, match="unknown variant 'swiglo'; did you mean swiglu"):
        session.prepare(make_case(variant="swiglo", nm=0))


def test_the_real_package_takes_the_same_calls():
    annotate._domain.cache_clear()
    with case_range("key", "torch"), phase_range("timed"):
        pass
    assert hasattr(annotate._domain(), "push_range")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler for a stand-in profiler")
@pytest.mark.parametrize("flags", [(), ("-DOLD_EXTENSION",)], ids=["listener", "old-listener"])
def test_a_profiler_sees_the_ranges_of_a_plain_sweep_without_further_flags(tmp_path, flags):
    """A listener loaded as Nsight's tools load theirs, in the worker process of an ordinary sweep."""
    library, log = tmp_path / "listener.so", tmp_path / "ranges"
    source = Path(__file__).with_name("nvtx_listener.c")
    subprocess.run(["cc", "-shared", "-fPIC", *flags, str(source), "-o", str(library)], check=True)
    env = {**os.environ, "NVTX_INJECTION64_PATH": str(library), "NVTX_LISTENER_OUT": str(log)}
    options = ("--h", "32", "--d", "48", "--nm", "2", "--variants", "lu,mglu-naive", "--max-seconds", "0.01")
    # Of several processes side by side the listener would write one list.
    options += ("--processes", "1")
    done = run_command("sweep", *options, "--no-ceiling", "--out", "run", cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    depth, paths, stack = 0, [], []
    for line in log.read_text().splitlines():
        kind, domain, *rest = line.split("\t")
        assert domain == "mglubench"
        depth += 1 if kind == "push" else -1
        if kind == "push":
            stack[depth - 1 :] = [tuple(rest)]
            paths.append(tuple(stack))
    assert depth == 0
    keys = {
        "lu/32x48/nm0/b1/float32/silu/none/cold/cpu/seed0",
        "mglu-naive/32x48/nm2/b1/float32/silu/bernoulli:0.5/cold/cpu/seed0",
    }
    assert {path[0] for path in paths} == {(key, "d55e00") for key in keys}
    for key in keys:
        phases = [path[1][0] for path in paths if len(path) == 2 and path[0][0] == key]
        assert {"prepare", "warm-up", "timed", "check"} == set(phases)
