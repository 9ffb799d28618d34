"""What a step changes in its process is put back and named; what it leaves running is ended or at least named."""

from __future__ import annotations

import gc
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from mglubench.executors import local, process_state
from mglubench.executors.local import LocalSession
from mglubench.executors.process_state import come, company, restore, see_off, take
from mglubench.variants.torch_eager import LinearUnit
from tests.conftest import make_case

CASE = make_case(variant="lu", nm=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), r"torch threads \d+ -> \d+"),
        (lambda: torch.set_default_dtype(torch.float64), "torch's default dtype"),
        (lambda: torch.set_default_device("meta"), "torch's default device cpu -> meta"),
        (lambda: torch.set_grad_enabled(False), "grad mode True -> False"),
        (lambda: torch.use_deterministic_algorithms(True), "deterministic algorithms"),
        (lambda: torch.set_float32_matmul_precision("medium"), "float32 matmul precision highest -> medium"),
        (lambda: torch.set_autocast_enabled("cpu", True), "autocast False -> True"),
        (lambda: torch._C._set_mkldnn_enabled(False), "oneDNN"),
        (lambda: os.chdir("/"), "the working folder"),
        (lambda: os.environ.update(HOME="/nowhere", LEFT="1"), r"environment variables \(HOME, LEFT\)"),
        (lambda: os.umask(0o777), "the umask"),
        (lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}), "CPU affinity"),
        (
            lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
            "res",
        ),
        (lambda: signal.signal(signal.SIGTERM, lambda number, frame: None), r"signal handlers \(SIGTERM\)"),
        (lambda: signal.setitimer(signal.ITIMER_REAL, 1000), "the alarm clock"),
        (gc.disable, "the garbage collector True -> False"),
        (lambda: gc.set_threshold(1, 2, 3), "the garbage collector's thresholds"),
        (gc.freeze, "the garbage collector's frozen objects"),
        (lambda: sys.path.insert(0, "/nowhere"), r"sys\.path"),
        (lambda: warnings.simplefilter("error"), "warnings filters"),
        (lambda: setattr(time, "perf_counter_ns", lambda: 0), "clocks"),
        (lambda: np.seterr(all="raise"), "NumPy's error state"),
    ],
)
def test_a_changed_setting_is_named_and_put_back(change, words):
    if "affinity" in words and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    alarm = signal.setitimer(signal.ITIMER_REAL, 0)  # the test runner's
    try:
        before = take()
        change()
        notes = restore(before)
        assert any(re.match(rf"changed .*{words}.*; restored$", note) for note in notes), notes
        assert restore(before) == []
        after = take()
    finally:
        signal.setitimer(signal.ITIMER_REAL, *alarm)
    assert all(after[name] == value for name, value in before.items() if "random" not in name)


def test_nothing_is_said_of_nothing():
    before = take()
    assert restore(before) == []


def test_threads_of_numba_are_put_back_even_if_a_variant_was_the_first_to_load_it():
    import numba

    whole = numba.get_num_threads()
    if whole < 2:
        pytest.skip("one core")
    before = {name: value for name, value in take().items() if "Numba" not in name}
    numba.set_num_threads(1)
    assert restore(before) == [f"changed Numba's threads {whole} -> 1; restored"]
    assert numba.get_num_threads() == whole


def test_random_states_are_put_back_without_a_word():
    before = take()
    drawn = random.random(), np.random.random(), torch.rand(3)
    assert restore(before) == []
    assert (random.random(), np.random.random()) == drawn[:2]
    assert torch.equal(torch.rand(3), drawn[2])


def test_what_cannot_be_put_back_is_said_so(monkeypatch):
    values = [1]
    setting = process_state.Setting("a thing", lambda: values[0], None)
    monkeypatch.setattr(process_state, "_settings", lambda: [setting])
    before = take()
    values[0] = 2
    assert restore(before) == ["changed a thing 1 -> 2; cannot be restored"]


def test_a_setting_that_cannot_be_read_is_left_out(monkeypatch):
    def fails():
        raise OSError

    monkeypatch.setattr(process_state, "_settings", lambda: [process_state.Setting("a thing", fails, None)])
    assert restore(take()) == []


def test_a_thread_that_stays_is_named_and_one_that_went_is_not():
    before, done = company(), threading.Event()
    stays = threading.Thread(target=done.wait, name="stays")
    gone = threading.Thread(target=lambda: None)
    stays.start()
    gone.start()
    guests = come(before)
    gone.join()
    assert see_off(guests) == ["left 1 thread running (stays); cannot be ended"]
    done.set()
    stays.join()
    assert see_off(guests) == []


def test_a_child_that_stays_is_ended():
    before = company()
    child = subprocess.Popen(["sleep", "1000"])
    guests = come(before)
    assert guests.children == {child.pid}
    assert see_off(guests) == ["left 1 child process running; ended"]
    assert child.poll() is not None


@pytest.fixture
def session():
    session = LocalSession()
    yield session
    session.close()


def test_a_case_is_measured_under_the_settings_of_all_others_and_its_notes_come_with_it(session, monkeypatch):
    threads, seen = torch.get_num_threads(), []

    def prepare(self, problem):
        launch = LinearUnit().prepare(problem)
        torch.set_num_threads(threads + 1)
        gc.set_threshold(7)

        def run():
            seen.append(torch.get_num_threads())
            launch()

        return run

    planted = type("Planted", (LinearUnit,), {"prepare": prepare})()
    monkeypatch.setattr(local, "get_variant", lambda name: planted)
    session.prepare(CASE)
    seen.clear()
    session.sample(CASE, 0.0, 3)
    notes = session.finish(CASE).notes
    assert set(seen) == {threads}
    assert set(notes) == {
        "changed the garbage collector's thresholds; restored",
        f"changed torch threads {threads} -> {threads + 1}; restored",
    }
    assert torch.get_num_threads() == threads


def test_a_launch_that_sets_what_it_needs_every_time_has_it(session, monkeypatch):
    threads, seen = torch.get_num_threads(), []

    def prepare(self, problem):
        launch = LinearUnit().prepare(problem)

        def run():
            torch.set_num_threads(threads + 1)
            seen.append(torch.get_num_threads())
            launch()

        return run

    planted = type("Planted", (LinearUnit,), {"prepare": prepare})()
    monkeypatch.setattr(local, "get_variant", lambda name: planted)
    session.prepare(CASE)
    session.sample(CASE, 0.0, 3)
    notes = session.finish(CASE).notes
    assert set(seen) == {threads + 1}
    assert notes == [f"changed torch threads {threads} -> {threads + 1}; restored"]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["swiglu", "mglu-naive", "mglu-numba-cpu", "swiglu-compiled", "stream-read"])
def test_our_own_variants_leave_nothing_behind(session, name):
    from mglubench.variants.registry import get_variant

    if reason := get_variant(name).why_unavailable("cpu"):
        pytest.skip(reason)
    case = make_case(variant=name, nm=2 if name.startswith("mglu") else 0)
    session.prepare(case)
    session.sample(case, 0.0, 3)
    assert session.finish(case).notes == []
