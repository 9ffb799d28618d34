"""Cases in a worker process: whatever a variant does to it costs that case alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError, UnavailableError
from mglubench.executors.child import ChildSession
from mglubench.executors.rounds import measure_set
from tests.conftest import make_case, make_plugin

SOURCE = '''
    import gc, os, signal, sys, threading
    from mglubench.variants.torch_eager import LinearUnit

    class Planted(LinearUnit):
        """Misbehaves early, while it is prepared, or late, while it is timed: only then is collection off."""

        def prepare(self, problem):
            self.early()
            launch = super().prepare(problem)
            def run():
                launch()
                if not gc.isenabled():
                    self.late()
            return run

        def early(self): pass
        def late(self): pass

    class GoodA(Planted): name = "good-a"
    class GoodB(Planted): name = "good-b"

    class Raises(Planted):
        name = "raises"
        def early(self): raise ValueError("no luck\\nsecond line")

    class Segfaults(Planted):
        name = "segfaults"
        def late(self): os.kill(os.getpid(), signal.SIGSEGV)

    class Exits(Planted):
        name = "exits"
        def early(self):
            print("last words", flush=True)
            os._exit(7)

    class Leaves(Planted):
        name = "leaves"
        def early(self): sys.exit(3)

    class Killed(Planted):
        name = "killed"
        def late(self): os.kill(os.getpid(), signal.SIGKILL)

    class Hangs(Planted):
        name = "hangs"
        def late(self): threading.Event().wait()

    class Noisy(Planted):
        name = "noisy"
        def late(self):
            print('{"ok": {"samples": []}}', "garbage", flush=True)
            os.write(1, b"\\xff\\x00 more garbage\\n")

    class Greedy(Planted):
        name = "greedy"
        def early(self): bytearray(1 << 60)

    class Orphaning(Planted):
        """Dies while a process that it started still holds all that it inherited."""
        name = "orphaning"
        def early(self):
            if os.fork() == 0:
                threading.Event().wait()
            os.kill(os.getpid(), signal.SIGABRT)
'''
NAMES = (
    "good-a",
    "good-b",
    "raises",
    "segfaults",
    "exits",
    "leaves",
    "killed",
    "hangs",
    "noisy",
    "greedy",
    "orphaning",
)
BRIEF = MeasureSettings(max_seconds=0.01, min_samples=3, max_samples=6, rounds=1, processes=1)


class PatientSession(ChildSession):
    """Starts workers outside the time-out of a case, so that a short one can be tested on a busy machine."""

    def prepare(self, case):
        self.describe(("cpu",))
        return super().prepare(case)


def case_of(name):
    return make_case(variant=name, nm=0)


@pytest.fixture
def session(tmp_path, monkeypatch):
    classes = {name: "".join(part.capitalize() for part in name.split("-")) for name in NAMES}
    plugin = make_plugin(tmp_path / "site", SOURCE, classes)
    monkeypatch.setenv("PYTHONPATH", plugin.search_path)
    session = PatientSession(tmp_path / "worker.log", case_timeout=120.0)
    yield session
    session.close()


def measure(session, *names):
    return {found.case.variant: found for found in measure_set(session, [case_of(name) for name in names], BRIEF)}


def test_failures_inside_the_worker_leave_it_alive(session):
    found = measure(session, "good-a", "raises", "greedy", "noisy", "good-b")
    assert (found["raises"].status, found["raises"].reason) == ("error", "ValueError: no luck")
    assert found["greedy"].status == "oom"
    assert found["greedy"].reason.startswith("out of memory")
    assert all(found[name].status == "ok" for name in ("good-a", "good-b", "noisy"))
    assert session.workers_started == 1
    assert b"more garbage" in session._log.read_bytes()


def test_a_worker_that_dies_while_preparing_is_replaced(session):
    found = measure(session, "good-a", "exits", "leaves", "good-b")
    assert (found["exits"].status, found["leaves"].status) == ("crash", "crash")
    assert found["exits"].reason == "the worker exited with code 7; it said: last words"
    assert "exited with code 3" in found["leaves"].reason
    assert found["good-a"].status == found["good-b"].status == "ok"
    assert session.workers_started == 3


def test_a_worker_that_dies_while_sampling_costs_its_case_alone(session):
    found = measure(session, "good-a", "segfaults", "killed", "good-b")
    assert found["segfaults"].status == found["killed"].status == "crash"
    assert "died of SIGSEGV" in found["segfaults"].reason
    assert "killed by SIGKILL, often the system out of memory" in found["killed"].reason
    assert found["good-a"].status == found["good-b"].status == "ok"
    assert len(found["good-b"].samples) >= 3


def test_a_hang_is_killed_after_the_time_out(session):
    session._case_timeout = 4.0
    found = measure(session, "hangs", "good-a")
    assert found["hangs"].status == "timeout"
    assert "within 4 s; killed" in found["hangs"].reason
    assert found["good-a"].status == "ok"


def test_a_dead_worker_is_noticed_though_its_child_holds_the_pipe(session):
    session._case_timeout = 15.0
    found = measure(session, "orphaning", "good-a")
    assert found["orphaning"].status == "crash"
    assert "SIGABRT" in found["orphaning"].reason
    assert found["good-a"].status == "ok"


def test_a_case_prepared_in_a_lost_worker_is_prepared_again(session):
    good, bad = case_of("good-a"), case_of("killed")
    session.prepare(good)
    first = session.sample(good, 0.0, 1)
    session.prepare(bad)
    with pytest.raises(CaseError, match=r"SIGKILL"):
        session.sample(bad, 0.0, 1)
    assert len(session.sample(good, 0.0, 2).samples) >= 1
    assert session.workers_started == 2
    assert len(first.samples) == 1
    assert session.finish(good).check["unwritten"] == 0


def test_a_worker_killed_from_outside_between_requests_is_replaced(session):
    good = case_of("good-a")
    session.prepare(good)
    os.kill(session._worker._process.pid, signal.SIGKILL)
    with pytest.raises(CaseError, match=r"SIGKILL"):
        session.sample(good, 0.0, 1)
    session.prepare(good)
    session.abandon(good)


def test_the_crash_of_another_case_is_not_charged_to_the_time_out(session):
    good, bad = case_of("good-a"), case_of("killed")
    session.prepare(good)
    session._spent[good] = 119.9
    session.prepare(bad)
    with pytest.raises(CaseError, match=r"SIGKILL"):
        session.sample(bad, 0.0, 1)
    session.sample(good, 0.0, 1)
    assert session._spent[good] < 119


def test_closing_ends_the_worker(session):
    session.describe(("cpu",))
    worker = psutil.Process(session._worker._process.pid)
    session.close()
    assert not worker.is_running()
    session.close()


def test_a_device_that_is_not_here_concerns_the_whole_sweep(session):
    with pytest.raises(UnavailableError, match=r"cuda:31|no CUDA device can be used here"):
        session.describe(("cuda:31",))


def test_the_worker_of_a_session_beside_serves_the_next_set(session):
    other = session.beside()
    assert {found.status for found in measure(other, "good-a").values()} == {"ok"}
    worker = other._worker
    other.close()
    again = session.beside()
    assert (again, again._worker) == (other, worker)
    assert {found.status for found in measure(again, "good-b").values()} == {"ok"}
    assert other.workers_started == 1
    again.close()
    session.close()
    assert worker._process.ended()


def test_a_worker_beside_that_is_interrupted_at_work_ends_with_its_set(session):
    other = session.beside()
    measure(other, "good-a")
    worker = other._worker
    worker._requests.write("{}")
    worker._busy = True
    other.close()
    assert worker._process.ended()
    assert session.beside() is other


def test_inputs_and_references_are_made_by_the_first_worker_for_all(session):
    case, others = make_case(variant="mglu-naive", nm=2), (session.beside(), session)
    session.prepare(case)
    made = session._keeper.where()
    assert {name.partition(" ")[2] for name in made} >= {"drawn 0", "total", "mask bernoulli:0.5 1"}
    session.renew()
    for later in others:
        later.prepare(case)
        assert session._keeper.where() == made
        assert "memfd:mglubench" in Path(f"/proc/{later._worker.process}/maps").read_text()
        assert later.finish(case).check["relative"] < 1e-4
    session.close()
    assert session._keeper.where() == {}


def test_workers_beside_each_other_work_at_the_same_time(session):
    case, places = case_of("good-a"), (session.beside(), session.beside())
    for place in places:
        place.begin("prepare", case)
    assert all(place._worker.busy for place in places)
    assert all(place.prepare(case).check["unwritten"] == 0 for place in places)
    for place in places:
        place.begin("finish", case)
        place.finish(case)


def test_what_a_worker_was_asked_ahead_dies_with_it(session):
    other = session.beside()
    other.begin("finish", case_of("good-a"))
    assert other._worker is None, "there is nothing to finish"
    other.begin("prepare", case_of("exits"))
    with pytest.raises(CaseError, match="code 7"):
        other.prepare(case_of("exits"))
    assert other.prepare(case_of("good-a")).check["unwritten"] == 0
