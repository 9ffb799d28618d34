"""Rounds, driven by a session that does what a script says."""

from __future__ import annotations

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.comparison import Role
from mglubench.errors import CaseError
from mglubench.executors import set_steps
from mglubench.executors.rounds import measure_set
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.executors.set_steps import TRIES
from mglubench.executors.summaries import summarise
from mglubench.results.rows import Row
from tests.conftest import make_case

# Real variants, because a set asks what their layers are.
LETTERS = {"lu": "a", "swiglu": "b", "swiglu-merged": "c"}
A, B, C = (make_case(variant=name, nm=0) for name in LETTERS)
GOOD = {"relative": 1e-7, "worst": 1e-6, "unwritten": 0}
PREPARED = Prepared(GOOD, {"total": 800}, "scripted", {"inputs": 0.5, "check": 0.25})


class Scripted:
    """Answers each request from a table of (request, variant); unlisted ones succeed. Writes down what was asked."""

    def __init__(self, script=None):
        self.script, self.log = script or {}, []

    def _step(self, request, case):
        self.log.append(f"{request} {LETTERS[case.variant]}")
        answer = self.script.get((request, LETTERS[case.variant]))
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

    def renew(self):
        self.log.append("renew")


def measure(session, cases, roles=None, **changes):
    settings = MeasureSettings(**{"max_seconds": 0.01, "rounds": 2, "processes": 1, **changes})
    found = list(measure_set(session, cases, settings, roles=roles))
    return {LETTERS[measurement.case.variant]: measurement for measurement in found}


def sampled(session):
    return [entry.split()[1] for entry in session.log if entry.startswith("sample")]


def test_every_round_takes_every_case_once():
    session = Scripted()
    measure(session, [A, B, C], rounds=6)
    turns = sampled(session)
    assert [sorted(turns[start : start + 3]) for start in range(0, 18, 3)] == [["a", "b", "c"]] * 6


def test_the_order_changes_and_is_the_same_when_measured_again():
    first, second = Scripted(), Scripted()
    measure(first, [A, B, C], rounds=12)
    measure(second, [A, B, C], rounds=12)
    turns = sampled(first)
    assert turns == sampled(second)
    orders = {tuple(turns[start : start + 3]) for start in range(0, 36, 3)}
    assert len(orders) >= 4
    assert {order[0] for order in orders} == {"a", "b", "c"}


LOUD = [Block([100.0] * 10, 0, [], 0.01), Block([300.0] * 10, 0, [], 0.01)]


def test_no_case_leaves_before_the_others():
    session = Scripted({("sample", "a"): LOUD * 25})
    found = measure(session, [A, B], rounds=5, max_seconds=0.2)
    turns = sampled(session)
    assert turns.count("a") == turns.count("b") > 5
    assert len(found["a"].rounds) == len(found["b"].rounds) == turns.count("a")
    assert found["a"].stop == found["b"].stop


@pytest.mark.parametrize(
    ("rounds_", "processes", "shares"), [(6, 2, [3, 3]), (5, 2, [3, 2]), (2, 4, [1, 1]), (3, 1, [3])]
)
def test_rounds_are_dealt_out_to_processes(rounds_, processes, shares):
    session = Scripted()
    found = measure(session, [A], rounds=rounds_, processes=processes, max_seconds=0.001)["a"]
    by_process = [turn.process for turn in found.rounds]
    assert [by_process.count(process) for process in range(len(shares))] == shares
    assert [turn.number for turn in found.rounds] == list(range(rounds_))
    assert session.log.count("renew") == len(shares) - 1
    assert session.log.count("prepare a") == session.log.count("finish a") == len(shares)


def test_what_a_process_took_is_checked_before_the_next_one_starts():
    session = Scripted()
    measure(session, [A, B], rounds=4, processes=2, max_seconds=0.001)
    before = session.log[: session.log.index("renew")]
    assert sorted(before[-2:]) == ["finish a", "finish b"]


class Several(Scripted):
    """A session that can have others beside it; all write into one log, each with its number."""

    def __init__(self, script=None, places=None):
        super().__init__(script)
        self.places = [] if places is None else places
        self.places.append(self)
        self.number, self.closed = len(self.places) - 1, False
        self.log = self.places[0].log

    def _step(self, request, case):
        try:
            return super()._step(request, case)
        finally:
            self.log[-1] += f" {self.number}"

    def supply(self, case):
        self._step("supply", case)

    def begin(self, step, case):
        self.log.append(f"begin {step} {LETTERS[case.variant]} {self.number}")

    def ready(self):
        return True

    def beside(self):
        return Several(self.script, self.places)

    def close(self):
        self.closed = True


def test_processes_that_live_side_by_side_take_rounds_in_turn():
    session = Several()
    settings = MeasureSettings(max_seconds=0.001, rounds=7, processes=3)
    (found,) = measure_set(session, [A], settings, side_by_side=3)
    assert [turn.process for turn in found.rounds] == [0, 1, 2, 0, 1, 2, 0]
    assert [entry[-1] for entry in session.log if entry.startswith("sample")] == list("0120120")
    assert session.log[0] == "supply a 0", "before all of them would make it at the same time"
    for step, at in (("prepare", session.log[1:7]), ("finish", session.log[-6:])):
        assert at == [f"{begin}{step} a {number}" for begin in ("begin ", "") for number in range(3)]
    assert [place.closed for place in session.places] == [False, True, True]


def test_more_rounds_come_from_the_same_processes_where_all_live_side_by_side():
    session = Several({("sample", "a"): LOUD * 25})
    settings = MeasureSettings(max_seconds=0.2, rounds=6, processes=3)
    (found,) = measure_set(session, [A], settings, side_by_side=3)
    assert len(found.rounds) > 6
    assert {turn.process for turn in found.rounds} == {0, 1, 2}
    assert session.log.count("prepare a 0") == 1


def test_fewer_side_by_side_than_processes_follow_each_other():
    session = Several()
    settings = MeasureSettings(max_seconds=0.001, rounds=6, processes=3)
    (found,) = measure_set(session, [A], settings, side_by_side=1)
    assert [turn.process for turn in found.rounds] == [0, 0, 1, 1, 2, 2]
    assert len(session.places) == 1


def test_what_does_not_fit_side_by_side_follows_in_a_smaller_wave():
    session = Several()
    settings = MeasureSettings(max_seconds=0.001, rounds=6, processes=3)
    (found,) = measure_set(session, [A], settings, side_by_side=2)
    assert [turn.process for turn in found.rounds] == [0, 1, 0, 1, 2, 2]
    assert session.log.count("renew") == 1
    assert len(session.places) == 2


def test_all_places_are_heard_before_a_case_that_failed_in_one_is_given_up():
    session = Several({("prepare", "b"): [CaseError("wrong", "planted"), None]})
    settings = MeasureSettings(max_seconds=0.001, rounds=2, processes=2)
    found = {m.case.variant: m.status for m in measure_set(session, [A, B], settings, side_by_side=2)}
    assert found == {"lu": "ok", "swiglu": "wrong"}
    of_b = [entry for entry in session.log if " b " in entry and "supply" not in entry]
    steps = [sorted(of_b[start : start + 2]) for start in range(0, 6, 2)]
    assert steps == [[f"{step} b {number}" for number in range(2)] for step in ("begin prepare", "prepare", "abandon")]
    assert len(of_b) == 6


def test_places_begin_with_others_and_none_waits_for_another():
    session = Several()
    ready = iter([False] * 3)
    session.ready = lambda: next(ready, True)
    settings = MeasureSettings(max_seconds=0.001, rounds=2, processes=2)
    list(measure_set(session, [A, B], settings, side_by_side=2))
    prepared = [entry for entry in session.log if entry.startswith("prepare")]
    assert prepared == ["prepare b 1", "prepare a 1", "prepare a 0", "prepare b 0"]


def test_what_failed_in_one_place_is_not_begun_in_another():
    session = Several({("prepare", "b"): CaseError("crash", "planted")})
    settings = MeasureSettings(max_seconds=0.001, rounds=3, processes=3)
    found = {m.case.variant: m.status for m in measure_set(session, [A, B, C], settings, side_by_side=3)}
    assert found == {"lu": "ok", "swiglu": "crash", "swiglu-merged": "ok"}
    assert "begin prepare b 1" in session.log
    assert "begin prepare b 2" not in session.log


def test_rounds_that_the_last_process_makes_up_for_are_not_prepared_for_again():
    session = Several({("sample", "a"): LOUD * 25})
    settings = MeasureSettings(max_seconds=0.08, rounds=6, processes=2)
    (found,) = measure_set(session, [A], settings, side_by_side=1)
    assert [turn.process for turn in found.rounds] == [0, 0, 0, 1, 1, 1, 1, 1]
    assert session.log.count("prepare a 0") == 2


def test_a_case_that_fails_in_one_process_is_given_up_in_all():
    session = Several({("sample", "b"): [None, CaseError("crash", "planted")]})
    settings = MeasureSettings(max_seconds=0.001, rounds=3, processes=3)
    found = {m.case.variant: m.status for m in measure_set(session, [A, B], settings, side_by_side=3)}
    assert found == {"lu": "ok", "swiglu": "crash"}
    assert [f"abandon b {number}" for number in range(3)] == [e for e in session.log if e.startswith("abandon")]
    assert not [entry for entry in session.log if entry.startswith("finish b")]


def test_a_set_that_is_given_up_closes_the_other_processes():
    session = Several()
    measuring = measure_set(session, [A], MeasureSettings(rounds=3, processes=3), side_by_side=3)
    with pytest.raises(KeyboardInterrupt):
        list(_interrupted(session, measuring))
    assert [place.closed for place in session.places] == [False, True, True]


def _interrupted(session, measuring):
    session.script[("sample", "a")] = KeyboardInterrupt()
    session._step = _raise_at_sample(session._step)
    yield from measuring


def _raise_at_sample(step):
    def wrapped(request, case):
        if request == "sample":
            raise KeyboardInterrupt
        return step(request, case)

    return wrapped


def test_a_case_that_is_wrong_in_the_second_process_has_no_time():
    script = {("finish", "b"): [None, CaseError("wrong", "planted")]}
    found = measure(Scripted(script), [A, B], rounds=2, processes=2)
    assert (found["b"].status, found["b"].samples) == ("wrong", [])
    assert found["a"].status == "ok"


def test_measurements_come_in_the_order_of_the_cases():
    settings = MeasureSettings(max_seconds=0.01, rounds=7, processes=1)
    found = measure_set(Scripted(), [C, A, B], settings)
    assert [measurement.case for measurement in found] == [C, A, B]


def test_a_measurement_holds_all_that_was_learned():
    found = measure(Scripted(), [A, B])["a"]
    assert found.samples == [100.0] * 10
    assert found.stop == "time"
    assert found.timer == "scripted"
    assert found.ledger == {"total": 800}
    assert found.checks == [GOOD, GOOD]
    assert found.interleaved == 2
    assert [(turn.number, turn.process, turn.count) for turn in found.rounds] == [(0, 0, 5), (1, 0, 5)]
    assert {turn.place for turn in found.rounds} <= {0, 1}
    assert found.overhead["prepare"] == 0.5
    assert found.overhead["check"] == 0.375
    assert found.overhead["sampling"] == pytest.approx(0.02)
    assert found.overhead["isolation"] >= 0
    assert Row.of(found, "lu").to_dict()["key"] == A.key


def test_the_worst_check_of_all_processes_is_kept():
    poor, poorest = {**GOOD, "relative": 1e-5}, {**GOOD, "relative": None}
    script = {
        ("prepare", "a"): [PREPARED, Prepared(poor, {"total": 800}, "scripted", {"inputs": 0.5, "check": 0.25})],
        ("finish", "a"): [Finished(poorest, 0.1), Finished(GOOD, 0.1)],
    }
    found = measure(Scripted(script), [A], rounds=2, processes=2)["a"]
    assert found.checks == [poor, poorest]


def test_notes_of_all_processes_are_kept_once_each_and_harmless():
    script = {("finish", "a"): [Finished(GOOD, 0.1, ["one", "two\x1b[1m"]), Finished(GOOD, 0.1, ["two", "three"])]}
    found = measure(Scripted(script), [A, B], rounds=2, processes=2)
    assert found["a"].notes == ["one", "two", "three"]
    assert found["b"].notes == []


def test_a_case_that_fails_in_the_second_process_keeps_the_notes_of_the_first():
    script = {("finish", "a"): [Finished(GOOD, 0.1, ["one"]), CaseError("wrong", "off")]}
    found = measure(Scripted(script), [A], rounds=2, processes=2)["a"]
    assert (found.status, found.notes) == ("wrong", ["one"])


def test_samples_know_their_copies():
    blocks = [Block([1.0, 2.0, 3.0], 0, [], 0.01, copies=[0, 1, 2], settling=4), Block([4.0], 0, [], 0.01, copies=[0])]
    found = measure(Scripted({("sample", "a"): blocks}), [A])["a"]
    assert [(turn.count, turn.copies, turn.settling) for turn in found.rounds] == [(3, (0, 1, 2), 4), (1, (), 0)]


def test_a_round_asks_for_its_share_of_samples_and_time():
    asked = []

    class Counting(Scripted):
        def sample(self, case, seconds, most):
            asked.append((seconds, most))
            return Block([100.0, 300.0, 200.0][:most], 0, [], 0.1)

    measure(Counting(), [A], min_samples=3, max_samples=10, rounds=5, max_seconds=0.5)
    assert asked == [(pytest.approx(0.1), 2)] * 5


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


def test_a_discarded_block_is_taken_again_in_the_same_round():
    lost = Block([], 2, [], 0.01)
    found = measure(Scripted({("sample", "a"): [lost, None, lost, lost, None]}), [A], max_seconds=1e-9)["a"]
    assert [(turn.count, turn.discarded) for turn in found.rounds] == [(5, 2), (5, 4)]


def test_a_case_whose_samples_were_mostly_discarded_is_unstable():
    throttled = Block([], 20, [{"sm_mhz": 900}], 0.01)
    session = Scripted({("sample", "a"): [Block([100.0], 0, [], 0.0), *[throttled] * 50]})
    found = measure(session, [A, B], max_seconds=1e-9)
    assert found["a"].status == "unstable"
    assert f"{20 * TRIES} of {20 * TRIES + 1} samples" in found["a"].reason
    assert "below 75 % of the SM clock" in found["a"].reason
    assert found["b"].status == "ok"


def test_a_case_that_was_mostly_starved_says_so():
    starved = Block([], 20, [], 1.0, reason="its threads waited 50% of the time for a core")
    found = measure(Scripted({("sample", "a"): [starved] * 50}), [A], max_seconds=1e-9)["a"]
    assert found.status == "unstable"
    lost = 20 * TRIES * 2
    assert found.reason == f"{lost} of {lost} samples were taken while its threads waited 50% of the time for a core"


def test_some_discarded_samples_are_counted():
    found = measure(Scripted({("sample", "a"): [Block([100.0] * 9, 3, [], 0.0)]}), [A])["a"]
    assert (found.status, found.discarded) == ("ok", 3)


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(set_steps.time, "perf_counter", lambda: self.now)


def test_preparing_again_in_a_new_worker_does_not_use_up_the_sampling_time(monkeypatch):
    clock = Clock(monkeypatch)

    class Replaced(Scripted):
        def sample(self, case, seconds, most):
            clock.now += 30.0  # starting a worker, importing, packing; the samples themselves took a hundredth
            return LOUD[int(clock.now / 30) % 2]

    found = measure(Replaced(), [A], rounds=5, max_seconds=0.08)["a"]
    assert (found.stop, len(found.rounds)) == ("time", 8)
    assert found.overhead["isolation"] == pytest.approx(8 * (30.0 - 0.01))


def test_sampling_ends_when_every_shown_ratio_is_known():
    quiet = measure(Scripted(), [A, B], rounds=5, max_seconds=10.0)
    assert {found.stop for found in quiet.values()} == {"target"}
    together = [Block([value], 0, [], 0.01) for value in (100.0, 300.0, 200.0, 250.0, 150.0)] * 3
    script = {("sample", "a"): list(together), ("sample", "b"): list(together)}
    roles = {A: Role.OTHER, B: Role.GLU}
    paired = measure(Scripted(script), [A, B], roles, rounds=5, max_seconds=10.0, min_samples=3)
    assert paired["a"].stop == "target", "what a round does to both sides says nothing about their ratio"


def test_every_phase_is_announced():
    seen = []
    settings = MeasureSettings(rounds=1, processes=1, max_seconds=0.001)
    list(measure_set(Scripted(), [A], settings, lambda phase, case: seen.append((phase, LETTERS[case.variant]))))
    assert seen == [("prepare", "a"), ("sample", "a"), ("check", "a")]


def test_a_set_of_nothing_is_nothing():
    assert list(measure_set(Scripted(), [], MeasureSettings())) == []


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
