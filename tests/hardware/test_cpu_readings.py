"""Stolen cores: the rule on plain numbers, and the kernel's counters on real threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from mglubench.hardware import cpu_readings
from mglubench.hardware.cpu_readings import CpuMeter, CpuReading, expected_cores, keeps_starved, why_starved


def reading(**changes):
    return CpuReading(**{"wall": 0.1, "cores": 2.0, "waited": 0.0, "stolen": 0.0, "involuntary": 0.0, **changes})


def test_threads_that_got_their_cores_are_not_starved_however_few_they_are():
    for cores in (0.1, 1.0, 2.0, 64.0):
        assert why_starved(reading(cores=cores), expected_cores=2.0) is None


def test_waiting_for_a_core_is():
    assert why_starved(reading(waited=0.09)) is None
    assert "waited 34% of the time" in why_starved(reading(waited=0.34))


def test_a_core_that_the_hypervisor_took_is_seen_but_one_tick_is_no_evidence():
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert why_starved(reading(stolen=tick / 0.02, wall=0.02)) is None
    assert "hypervisor" in why_starved(reading(stolen=0.5, wall=1.0))
    assert why_starved(reading(stolen=0.05, wall=10.0)) is None


def test_where_waiting_is_not_counted_the_best_blocks_say_what_is_expected():
    blind = {"waited": None, "involuntary": 50.0}
    assert why_starved(reading(cores=1.5, **blind), None) is None
    assert why_starved(reading(cores=1.9, **blind), 2.0) is None
    assert "1.50 cores, 2.00 in its best blocks" in why_starved(reading(cores=1.5, **blind), 2.0)
    # A layer that uses one thread and is left alone.
    assert why_starved(reading(cores=1.0, **blind), 1.0) is None
    assert why_starved(reading(cores=1.5, waited=None, involuntary=1.0), 2.0) is None


def test_what_is_expected_is_learned_from_a_case_s_own_best_blocks():
    assert expected_cores([reading()] * 3) is None
    starved = [reading(cores=c) for c in (2.0, 1.1, 1.2, 1.9, 2.0, 1.0, 1.95, 1.1)]
    assert expected_cores(starved) == 2.0
    assert expected_cores([reading(cores=1.0)] * 8) == 1.0


def test_the_user_may_keep_starved_blocks(monkeypatch):
    monkeypatch.delenv(cpu_readings.KEEP_STARVED, raising=False)
    assert not keeps_starved()
    monkeypatch.setenv(cpu_readings.KEEP_STARVED, "1")
    assert keeps_starved()
    monkeypatch.setenv(cpu_readings.KEEP_STARVED, "0")
    assert not keeps_starved()


def test_a_system_without_the_counters_leaves_them_out(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_readings, "TASKS", tmp_path / "none")
    monkeypatch.setattr(cpu_readings, "STAT", tmp_path / "none")
    meter = CpuMeter()
    found = meter.stop()
    assert (found.waited, found.stolen) == (None, None)
    assert set(found.to_reading()) == {"cores", "involuntary"}


def test_a_thread_that_began_meanwhile_is_no_part_of_the_block(monkeypatch):
    counts = iter([{"1": 5_000_000}, {"1": 6_000_000, "2": 900_000_000}])
    monkeypatch.setattr(cpu_readings, "_ran_and_delays", lambda: ({}, next(counts)))
    meter = CpuMeter()
    found = meter.stop()
    assert found.waited * found.wall == pytest.approx(1e-3)


@pytest.mark.skipif(cpu_readings._ran_and_delays()[1] is None, reason="this kernel does not count waiting")
def test_two_processes_on_one_core_are_noticed():
    program = """
        import os, sys, time
        from mglubench.hardware.cpu_readings import CpuMeter, why_starved

        os.sched_setaffinity(0, {int(sys.argv[1])})
        meter = CpuMeter()
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            pass
        print(why_starved(meter.stop()))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(max(os.sched_getaffinity(0)))]
    rivals = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for rival in rivals:
        assert "waited" in rival.communicate(timeout=60)[0]


def test_cores_in_use_are_those_of_all_threads():
    def spin(stop):
        while not stop.is_set():
            sum(range(1000))

    meter, stop = CpuMeter(), threading.Event()
    thread = threading.Thread(target=spin, args=(stop,))
    meter.start()
    thread.start()
    time.sleep(0.2)
    stop.set()
    thread.join()
    assert meter.stop().cores > 0.1


def test_threads_that_took_part_in_a_block_are_counted(monkeypatch):
    ran = iter([{"1": 0, "2": 5, "3": 7, "4": 0}, {"1": 100, "2": 85, "3": 17, "5": 90}])
    monkeypatch.setattr(cpu_readings, "_ran_and_delays", lambda: (next(ran), None))
    found = CpuMeter().stop()
    # The third ran for a tenth of the time, the fourth is over, the fifth began meanwhile.
    assert found.threads == 2
    assert found.to_reading()["threads"] == 2
    monkeypatch.setattr(cpu_readings, "_ran_and_delays", lambda: ({}, None))
    assert "threads" not in CpuMeter().stop().to_reading()
