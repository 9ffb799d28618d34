"""The time that a cache line takes from one core to another and back."""

from __future__ import annotations

import os

import pytest

from mglubench.hardware import core_distance as module
from mglubench.hardware.core_distance import MOST_CORES, core_distance

CORES = len(os.sched_getaffinity(0))


@pytest.mark.skipif(not 2 <= CORES <= MOST_CORES, reason="needs two to eight cores")
def test_cores_answer_each_other_in_a_time_that_caches_take():
    cores = os.sched_getaffinity(0)
    found = [ns for _ in range(20) if (ns := core_distance()) is not None]
    assert found
    assert 2 < min(found) < 100_000
    assert os.sched_getaffinity(0) == cores


@pytest.mark.parametrize("count", [1, MOST_CORES + 1])
def test_one_core_or_many_have_no_distance(monkeypatch, count):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: set(range(count)))
    assert core_distance() is None


def test_a_core_that_cannot_be_had_gives_no_distance(monkeypatch):
    def refuse(pid, cores):
        raise OSError("no such core")

    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(module.os, "sched_setaffinity", refuse)
    assert core_distance() is None
