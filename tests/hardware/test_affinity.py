"""Threads bound to cores: the busy ones, inside a block alone."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mglubench.hardware import affinity
from mglubench.hardware.affinity import Pinning, pins
from mglubench.measure.cpu_timer import CpuTimer

counted = pytest.mark.skipif(not affinity._cpu_times(), reason="this kernel does not count the threads' CPU time")
several = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
NUMBERS = np.ones(1 << 20)


@pytest.fixture
def pool():
    """Two threads that sleep, and a third that will work; their ids."""
    with ThreadPoolExecutor(1) as busy, ThreadPoolExecutor(2) as idle:
        list(idle.map(time.sleep, [0.01, 0.01]))
        worker = busy.submit(threading.get_native_id).result()
        yield busy, worker


def work(pool):
    """Half here, half in the pool, for 50 ms of CPU time each."""

    def half():
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            np.add.reduce(NUMBERS)

    def run():
        other = pool.submit(half)
        half()
        other.result()

    return run


@counted
@several
def test_the_threads_that_work_are_found_and_bound_inside_a_block_alone(pool):
    busy, worker = pool
    cores = sorted(os.sched_getaffinity(0))
    pinning = Pinning()
    pinning.learn(work(busy))
    assert pinning.threads[:2] == [threading.get_native_id(), worker]
    with pinning():
        assert os.sched_getaffinity(0) == {cores[0]}
        assert os.sched_getaffinity(worker) == {cores[1]}
    assert os.sched_getaffinity(0) == os.sched_getaffinity(worker) == set(cores)


@counted
def test_cores_are_given_back_after_a_failure_and_dead_threads_are_no_failure():
    pinning = Pinning()
    pinning.learn(lambda: None)
    pinning.threads.append(2**22 + 1)
    cores = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError), pinning():
        raise RuntimeError
    assert os.sched_getaffinity(0) == cores


@counted
def test_a_timer_binds_while_it_samples_and_its_row_says_so():
    seen = []
    timer = CpuTimer([lambda: seen.append(len(os.sched_getaffinity(0)))], "hot", settle=0.0, pin=True)
    before = len(os.sched_getaffinity(0))
    timer.sample(0.0, 1)
    assert seen[0] == before  # when its threads were learned
    assert set(seen[1:]) == {1}
    assert "bound to a core each" in timer.description
    assert len(os.sched_getaffinity(0)) == before


def test_pinning_is_asked_for_by_the_environment(monkeypatch):
    for value, expected in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv(affinity.PIN, value)
        assert pins() is expected
    monkeypatch.delenv(affinity.PIN)
    assert not pins()
