"""The clock of a CPU: what happens before, inside and after a sample, with stand-ins for caches and time."""

from __future__ import annotations

import gc
import time

import pytest

from mglubench.errors import UnavailableError
from mglubench.measure import cpu_timer
from mglubench.measure.cpu_timer import LONG_LAUNCH, CpuTimer


class Evictor:
    description = "caches emptied"

    def __init__(self, log):
        self.log = log

    def __call__(self):
        self.log.append("evict")


def timer_of(launch, mode, evict=None, **changes):
    return CpuTimer([launch], mode, evict, **{"settle": 0.0, **changes})


def test_a_walk_evicts_before_each_sample():
    log = []
    timer = timer_of(lambda: log.append("launch"), "walk", Evictor(log), settle=1.0)
    taken = timer.sample(10.0, 5)
    assert log == ["evict", "launch"] * 5
    assert len(taken.samples) == 5
    assert all(sample > 0 for sample in taken.samples)
    assert taken.settling == 0
    assert timer.description == "caches emptied"


def test_cold_evicts_where_there_is_no_room_for_copies():
    log = []
    timer_of(lambda: log.append("launch"), "cold", Evictor(log), how="no room").sample(10.0, 2)
    assert log == ["evict", "launch"] * 2


def test_hot_never_evicts_and_runs_once_before_the_first_sample():
    log = []
    timer = timer_of(lambda: log.append("launch"), "hot", Evictor(log))
    assert len(timer.sample(10.0, 3).samples) == 3
    assert log == ["launch"] * 4
    assert "left warm" in timer.description


def test_copies_take_turns_and_every_sample_says_which_it_ran_on():
    log = []
    timer = CpuTimer([lambda k=k: log.append(k) for k in range(3)], "cold", settle=0.0)
    taken = [timer.sample(10.0, 4), timer.sample(10.0, 4)]
    assert log == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert [block.copies for block in taken] == [[1, 2, 0, 1], [0, 1, 2, 0]]
    assert [block.settling for block in taken] == [1, 1]
    assert "3 copies" in timer.description


class FakeTime:
    """A clock that every launch moves on by its own duration."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(cpu_timer.time, "perf_counter_ns", lambda: round(self.now * 1e9))

    def launch(self, seconds):
        def run():
            self.now += seconds

        return run


def test_launches_that_begin_while_the_pools_wake_up_are_counted_and_not_kept(monkeypatch):
    clock = FakeTime(monkeypatch)
    timer = CpuTimer([clock.launch(0.015)], "cold", settle=0.05)
    taken = timer.sample(0.1, 1000)
    assert taken.settling == 4  # they begin after 0, 15, 30 and 45 ms
    assert taken.samples == [15e6] * 7


def test_a_block_ends_with_a_turn_over_the_copies_if_that_is_soon(monkeypatch):
    clock = FakeTime(monkeypatch)
    whole = CpuTimer([clock.launch(0.015)] * 4, "cold", settle=0.0).sample(0.1, 1000)
    assert len(whole.samples) == 8  # seven begin within 0.1 s
    assert sorted(whole.copies) == [0, 0, 1, 1, 2, 2, 3, 3]
    long = CpuTimer([clock.launch(0.09)] * 40, "cold", settle=0.0).sample(0.1, 1000)
    assert len(long.samples) == 3
    assert len(CpuTimer([clock.launch(0.015)] * 4, "cold", settle=0.0).sample(0.1, 6).samples) == 6


def test_a_launch_that_takes_long_is_kept_as_the_first_sample(monkeypatch):
    clock = FakeTime(monkeypatch)
    long = CpuTimer([clock.launch(LONG_LAUNCH * 0.05)] * 2, "cold", settle=0.05)
    taken = long.sample(0.1, 1000)
    assert (taken.settling, taken.samples, taken.copies) == (0, [250e6], [0])
    assert long.sample(0.1, 1000).copies == [1]
    shorter = CpuTimer([clock.launch(0.2)], "cold", settle=0.05).sample(0.1, 1000)
    assert (shorter.settling, shorter.samples) == (1, [200e6])


def test_what_the_process_got_of_the_cores_is_read_after_settling():
    def spin():
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass

    taken = CpuTimer([spin], "cold", settle=0.05).sample(0.05, 1000)
    assert 0 < taken.cpu.wall < 0.05 * 20
    assert taken.cpu.cores > 0.05


def test_time_ends_sampling_but_not_before_the_first_sample():
    assert len(timer_of(lambda: None, "hot").sample(0.0, 100).samples) == 1


def test_warming_up_runs_every_launch():
    log = []
    CpuTimer([lambda: log.append(0), lambda: log.append(1)], "cold").warm_up()
    assert {0, 1} == set(log)


def test_keeping_busy_runs_the_launch_and_takes_no_sample():
    log = []
    timer = timer_of(lambda: log.append(1), "hot")
    assert timer.keep_busy(0.0) is None
    assert log == [1]


def test_what_was_timed_can_be_run_for_a_check():
    runs = []
    CpuTimer([lambda: runs.append(1), lambda: runs.append(2)], "cold").run_timed()
    assert runs == [1, 2]


def test_graph_needs_cuda():
    with pytest.raises(UnavailableError, match=r"mode graph needs CUDA"):
        timer_of(lambda: None, "graph")


def test_no_collection_inside_a_sample():
    seen = []
    timer_of(lambda: seen.append(gc.isenabled()), "hot").sample(1.0, 2)
    assert not any(seen)
    assert gc.isenabled()
