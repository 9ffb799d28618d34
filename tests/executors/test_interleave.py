"""Interleaving, driven by a session that does what a script says."""

from __future__ import annotations

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError
from mglubench.executors import interleave
from mglubench.executors.interleave import measure_group, summarise
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.results.rows import Row
from tests.conftest import make_case

A, B, C = (make_case(variant=name) for name in ("a", "b", "c"))
GOOD = {"relative": 1e-7, "worst": 1e-6, "unwritten": 0}
PREPARED = Prepared(GOOD, {"total": 800}, "scripted", {"inputs": 0.5, "check": 0.25})


class Scripted:
    """Answers each request from a table of (request, variant); unlisted ones succeed. Writes down what was asked."""

    def __init__(self, script=None):
        self.script, self.log = script or {}, []

    def _step(self, request, case):
        self.log.append(f"{request} {case.variant}")
        answer = self.script.get((request, case.variant))
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(self, case):
        return self._step("prepare", case) or PREPARED

    def sample(self, case, seconds, most):
        return self._step("sample", case) or Block([100.0] * min(5, most), 0, [], 0.01)

    def finish(self, case):
        return self._step("finish", case) or Finished(GOOD, 0.125)

    def abandon(self, case):
        self._step("abandon", case)


def measure(session, cases, **changes):
    settings = MeasureSettings(**{"min_samples": 10, "max_samples": 100, **changes})
    found = list(measure_group(session, cases, settings))
    return {measurement.case.variant: measurement for measurement in found}


def test_cases_take_turns():
    session = Scripted()
    measure(session, [A, B])
    assert session.log == [
        *("prepare a", "prepare b"),
        *("sample a", "sample b", "sample a", "finish a", "sample b", "finish b"),
    ]


def test_a_case_that_needs_more_samples_goes_on_alone():
    loud = [Block([100.0, 300.0], 0, [], 0.01)] * 3
    session = Scripted({("sample", "a"): loud})
    found = measure(session, [A, B], max_samples=20)
    assert session.log.index("finish b") < session.log.index("finish a")
    assert found["a"].status == found["b"].status == "ok"


def test_a_measurement_holds_all_that_was_learned():
    found = measure(Scripted(), [A, B])["a"]
    assert found.samples == [100.0] * 10
    assert found.stop == "target"
    assert found.timer == "scripted"
    assert found.ledger == {"total": 800}
    assert found.checks == [GOOD, GOOD]
    assert found.interleaved == 2
    assert found.overhead["prepare"] == 0.5
    assert found.overhead["check"] == 0.375
    assert found.overhead["sampling"] == pytest.approx(0.02)
    assert found.overhead["isolation"] >= 0
    assert Row.of(found, "lu").to_dict()["key"] == A.key


def test_no_more_samples_are_asked_for_than_the_limit_leaves():
    asked = []

    class Counting(Scripted):
        def sample(self, case, seconds, most):
            asked.append(most)
            return Block([100.0, 300.0, 200.0][:most], 0, [], 0.0)

    found = measure(Counting(), [A], max_samples=10)["a"]
    assert asked == [10, 7, 4, 1]
    assert (len(found.samples), found.stop) == (10, "samples")


@pytest.mark.parametrize("request_", ["prepare", "sample", "finish"])
@pytest.mark.parametrize("status", ["error", "timeout", "crash", "oom", "wrong"])
def test_a_failing_step_becomes_a_measurement_and_the_others_go_on(request_, status):
    found = measure(Scripted({(request_, "b"): CaseError(status, "planted")}), [A, B, C])
    assert (found["b"].status, found["b"].reason, found["b"].samples) == (status, "planted", [])
    assert found["a"].status == found["c"].status == "ok"
    assert found["a"].interleaved == (2 if request_ == "prepare" else 3)


def test_a_step_that_fails_late_keeps_what_is_known_but_no_time():
    found = measure(Scripted({("sample", "a"): [None, CaseError("crash", "died")]}), [A])["a"]
    assert found.status == "crash"
    assert found.samples == []
    assert found.ledger == {"total": 800}


def test_a_case_whose_samples_were_mostly_discarded_is_unstable_and_released():
    throttled = Block([], 20, [{"sm_mhz": 900}], 0.01)
    session = Scripted({("sample", "a"): [Block([100.0], 0, [], 0.0), *[throttled] * 50]})
    found = measure(session, [A, B], max_seconds=1e-9)
    assert found["a"].status == "unstable"
    assert "20 of 21 samples" in found["a"].reason
    assert "abandon a" in session.log
    assert found["b"].status == "ok"


def test_a_case_that_was_mostly_starved_says_so():
    starved = Block([], 20, [], 1.0, reason="its threads waited 50% of the time for a core")
    found = measure(Scripted({("sample", "a"): [starved] * 50}), [A], max_seconds=1e-9)["a"]
    assert found.status == "unstable"
    assert found.reason == "20 of 20 samples were taken while its threads waited 50% of the time for a core"


def test_some_discarded_samples_are_counted():
    found = measure(Scripted({("sample", "a"): [Block([100.0] * 9, 3, [], 0.0)]}), [A])["a"]
    assert (found.status, found.discarded) == ("ok", 3)


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(interleave.time, "perf_counter", lambda: self.now)


def test_preparing_again_in_a_new_worker_does_not_use_up_the_sampling_time(monkeypatch):
    clock = Clock(monkeypatch)

    class Replaced(Scripted):
        def sample(self, case, seconds, most):
            clock.now += 30.0  # starting a worker, importing, packing; the samples themselves took a hundredth
            return Block([100.0, 300.0, 200.0], 0, [], 0.01)

    found = measure(Replaced(), [A], max_samples=30)["a"]
    assert found.stop == "samples"
    assert found.overhead["isolation"] > 250


def test_time_ends_a_case(monkeypatch):
    clock = Clock(monkeypatch)

    class Slow(Scripted):
        def sample(self, case, seconds, most):
            clock.now += 0.5
            return Block([100.0, 300.0, 200.0], 0, [], 0.5)

    found = measure(Slow(), [A])["a"]
    assert (found.stop, len(found.samples)) == ("time", 6)


def test_every_phase_is_announced():
    seen = []
    list(measure_group(Scripted(), [A], MeasureSettings(), lambda phase, case: seen.append((phase, case.variant))))
    assert seen[0] == ("prepare", "a")
    assert seen[1:] == [("sample", "a")] * (len(seen) - 1)


def test_a_group_of_nothing_is_nothing():
    assert list(measure_group(Scripted(), [], MeasureSettings())) == []


def test_readings_become_medians_and_extremes():
    readings = [
        {"sm_mhz": 1000, "watts": 100.0, "throttle": []},
        {"sm_mhz": 1400, "watts": 300.0, "throttle": ["power cap"]},
        {"sm_mhz": 1300, "throttle": ["power cap"]},
    ]
    assert summarise(readings) == {
        "sm_mhz": 1300,
        "sm_mhz_min": 1000,
        "sm_mhz_max": 1400,
        "watts": 200.0,
        "throttle": ["power cap"],
    }
    assert summarise([]) == {}


def test_readings_of_a_cpu_are_no_clocks():
    assert summarise([{"cores": 2.0, "waited": 0.01}, {"cores": 1.0, "waited": 0.03}]) == {"cores": 1.5, "waited": 0.02}
