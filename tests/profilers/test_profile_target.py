"""What a profiler starts: every case is prepared outside its timed range and launched inside it, once."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from mglubench.hardware import counter_names as counters
from mglubench.measure import annotate
from mglubench.profilers import target as profile_target
from mglubench.variants.torch_eager import SwiGLU
from tests.conftest import make_case


@pytest.fixture
def events(monkeypatch):
    """What is opened, launched and closed, in order."""
    seen = []

    @contextmanager
    def named(name, *rest):
        seen.append(f"[{name}")
        yield
        seen.append(f"{name}]")

    prepare = SwiGLU.prepare

    def spying(self, problem):
        launch = prepare(self, problem)

        def run():
            seen.append("launch")
            launch()

        return run

    monkeypatch.setattr(SwiGLU, "prepare", spying)
    monkeypatch.setattr(profile_target, "case_range", named)
    monkeypatch.setattr(profile_target, "phase_range", named)
    return seen


def work(tmp_path, *cases, launches=1):
    document = {"cases": [c.to_dict() for c in cases], "launches": launches, "outcomes": str(tmp_path / "o.jsonl")}
    (tmp_path / "cases.json").write_text(json.dumps(document))
    return str(tmp_path / "cases.json")


def outcomes(tmp_path):
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    return [(line["key"], line["status"]) for line in lines]


@pytest.mark.parametrize("launches", [1, 3])
def test_exactly_the_asked_for_launches_run_in_the_timed_range(tmp_path, events, launches):
    case = make_case(variant="swiglu", nm=0)
    assert profile_target.main([work(tmp_path, case, launches=launches)]) == 0
    assert events[-4 - launches :] == [f"[{case.key}", "[timed", *["launch"] * launches, "timed]", f"{case.key}]"]
    assert outcomes(tmp_path) == [(case.key, "begun"), (case.key, "ok")]


def test_a_case_that_fails_does_not_stop_the_next(tmp_path, events):
    bad, good = make_case(variant="flash-mglu-packed"), make_case(variant="swiglu", nm=0)
    profile_target.main([work(tmp_path, bad, good)])
    assert outcomes(tmp_path)[1] == (bad.key, "unavailable")
    assert outcomes(tmp_path)[-1] == (good.key, "ok")


def test_it_starts_as_a_program(tmp_path):
    case = make_case(variant="swiglu", nm=0)
    command = [sys.executable, "-m", "mglubench.profilers.target", work(tmp_path, case)]
    assert subprocess.run(command, timeout=120).returncode == 0
    assert outcomes(tmp_path)[-1] == (case.key, "ok")


def test_readers_and_ranges_agree_on_their_names():
    assert counters.DOMAIN == annotate.DOMAIN
    assert counters.TIMED in annotate.PHASE_COLOURS
