"""A short part of each fuzzer that ``make bench`` runs: nothing is lost, left behind, or told as a traceback."""

from __future__ import annotations

import random

import pytest

from tests.benchmarks import fuzz_commands, fuzz_kills, fuzz_stored
from tests.benchmarks.trials import room


def test_command_lines_and_sweep_files():
    tally = fuzz_commands.fuzz(range(150), seed=11)
    assert (tally.trials, tally.examples) == (150, [])
    assert tally.codes["0"] >= 10
    assert tally.codes["2"] >= 50


def test_damaged_stored_files():
    tally = fuzz_stored.fuzz(range(60), seed=11)
    assert (tally.trials, tally.examples) == (60, [])
    assert tally.codes["runs 0"] == 60
    assert tally.codes["resume 0"] >= 15


@pytest.mark.parametrize(("way", "kills"), [(fuzz_kills.FAKE, 6), (fuzz_kills.REAL, 1)])
def test_killed_sweeps(way, kills):
    fuzz_kills.with_everything_imported()
    with room() as base:
        found, codes = fuzz_kills.one_sweep(base, way, random.Random(11), kills)
    assert found == []
    assert len(codes) == kills + 1
