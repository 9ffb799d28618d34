"""Variants that upset the worker's protocol, its process or its words: each costs its own case, and leaves nothing."""

from __future__ import annotations

import os
import signal

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.executors import worker_process
from mglubench.executors.child import ChildSession
from mglubench.executors.rounds import measure_set
from tests.conftest import make_case, make_plugin
from tests.system.test_process import gone

SOURCE = '''
    import gc, os, subprocess, sys, time
    from pathlib import Path
    from mglubench.variants.torch_eager import LinearUnit

    REPLIES = int(sys.argv[2]) if sys.argv[0].endswith("worker.py") else -1

    class Planted(LinearUnit):
        def prepare(self, problem):
            self.early()
            return super().prepare(problem)

        def early(self): pass

    class Good(Planted): name = "good"

    class Forks(Planted):
        name = "forks"
        def early(self): os.fork()

    class Closes(Planted):
        name = "closes"
        def early(self): os.closerange(3, 64)

    class Garbage(Planted):
        name = "garbage"
        def early(self): os.write(REPLIES, b"\\xff\\x1b[31m no JSON\\n")

    class Glued(Planted):
        name = "glued"
        def early(self): os.write(REPLIES, b"glued ")

    class Forged(Planted):
        name = "forged"
        def early(self): os.write(REPLIES, b'{"ok": {}, "id": 2}\\n')

    class Listed(Planted):
        name = "listed"
        def early(self): os.write(REPLIES, b"[1, 2]\\n" + b"[" * 100000 + b"\\n")

    class Mute(Exception):
        def __str__(self): raise RuntimeError("no text")

    class Unspeakable(Planted):
        name = "unspeakable"
        def early(self): raise Mute

    class Coloured(Planted):
        name = "coloured"
        def early(self): raise ValueError("\\x1b[31mred\\u2028two \\udc80 \\u202eevil\\x07")

    class Daemons(Planted):
        """Starts what leaves its process group, its session, or its parents."""
        name = "daemons"
        def early(self):
            pids = [subprocess.Popen(["sleep", "60"], start_new_session=True).pid]
            pids.append(subprocess.Popen(["sleep", "60"], start_new_session=True, env={}).pid)
            Path("middle.sh").write_text("setsid sleep 60 >/dev/null 2>&1 & echo $!")
            pids.append(int(subprocess.run(["sh", "middle.sh"], capture_output=True, text=True).stdout))
            Path("pids").write_text(" ".join(map(str, pids)))

    class DaemonsAndDies(Daemons):
        name = "daemons-and-dies"
        def early(self):
            super().early()
            os._exit(9)

    class Chatters(Planted):
        name = "chatters"
        def early(self):
            print("first words", flush=True)
            for _ in range(40): os.write(1, b"x" * 100_000)
            print("\\nlast words", flush=True)
'''
NAMES = (
    *("good", "forks", "closes", "garbage", "glued", "forged", "listed", "unspeakable", "coloured", "daemons"),
    *("daemons-and-dies", "chatters"),
)
BRIEF = MeasureSettings(max_seconds=0.01, min_samples=3, max_samples=6, rounds=1, processes=1)


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """Measure variants by name in a fresh session, which is closed before the results are looked at."""
    classes = {name: "".join(part.capitalize() for part in name.split("-")) for name in NAMES}
    plugin = make_plugin(tmp_path / "site", SOURCE, classes)
    monkeypatch.setenv("PYTHONPATH", plugin.search_path)
    monkeypatch.chdir(tmp_path)

    def run(*names):
        session = ChildSession(tmp_path / "worker.log", case_timeout=120.0)
        try:
            cases = [make_case(variant=name, nm=0) for name in names]
            return {found.case.variant: found for found in measure_set(session, cases, BRIEF)}
        finally:
            session.close()

    return run


def test_a_reply_that_does_not_fit_costs_its_case(measure):
    found = measure("good", "garbage", "glued", "listed")
    assert found["good"].status == "ok"
    for name in ("garbage", "glued", "listed"):
        assert found[name].status == "crash"
        assert found[name].reason.startswith("the worker's reply does not fit the request: ")
        assert found[name].reason.isprintable()


def test_a_reply_that_only_looks_right_costs_its_case(measure):
    # The second request of a fresh worker: its first prepares the good case.
    found = measure("good", "forged")
    assert (found["good"].status, found["forged"].status) == ("ok", "crash")
    assert found["forged"].reason == "the worker's reply to 'prepare' does not fit"


def test_a_variant_that_forks_and_returns_twice_costs_its_case(measure):
    found = measure("good", "forks")
    assert (found["good"].status, found["forks"].status) == ("ok", "crash")
    assert found["forks"].reason == "the variant forked the worker, and both processes came back from it"


def test_a_variant_that_closes_descriptors_costs_its_case(measure, monkeypatch):
    monkeypatch.setattr(worker_process, "CLOSE_TIMEOUT", 20.0)
    found = measure("closes", "good")
    assert (found["closes"].status, found["good"].status) == ("crash", "ok")
    assert "Bad file descriptor" in found["closes"].reason


def test_words_of_an_exception_are_harmless_or_replaced(measure):
    found = measure("unspeakable", "coloured")
    assert found["unspeakable"].status == found["coloured"].status == "error"
    assert found["unspeakable"].reason == "Mute: its text cannot be read: its __str__ raised RuntimeError"
    assert found["coloured"].reason == "ValueError: red"


@pytest.mark.parametrize("name", ["daemons", "daemons-and-dies"])
def test_what_a_variant_started_does_not_survive_the_sweep(measure, tmp_path, name):
    found = measure(name)
    assert found[name].status == ("ok" if name == "daemons" else "crash")
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    if name == "daemons-and-dies":
        # Without its mark and without a parent that knows it, a process cannot be told from anybody's.
        stray = pids.pop(1)
        os.kill(stray, signal.SIGKILL)
    assert all(gone(pid) for pid in pids)


def test_a_worker_that_prints_without_end_has_a_short_log(measure, tmp_path):
    found = measure("chatters")
    assert found["chatters"].status == "ok"
    log = (tmp_path / "worker.log").read_bytes()
    assert log.startswith(b"first words\n")
    assert log.endswith(b"\nlast words\n")
    assert b"the middle of this log is left out" in log
    assert len(log) < 1_500_000
