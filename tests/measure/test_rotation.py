"""How many copies take turns, and when the caches are walked instead."""

from __future__ import annotations

import pytest

from mglubench.hardware.cpu import MIB
from mglubench.measure.rotation import CACHE_WHERE_UNKNOWN, LEAST_COPIES, MOST_COPIES, Cold, cold_on_cpu, describe

PLENTY = 1 << 40


@pytest.mark.parametrize("cache", [None, 1 * MIB, 32 * MIB, 260 * MIB, 1152 * MIB])
@pytest.mark.parametrize("resident", [20 * MIB, 67 * 10**6, 134 * 10**6, 1 << 30, 1 << 33])
def test_copies_exceed_twice_the_cache_and_no_copy_is_too_many(cache, resident):
    cold = cold_on_cpu(resident, cache, PLENTY)
    if cold.walk:
        assert 2 * (cache or 0) > MOST_COPIES * resident
        return
    assert cold.copies * resident >= 2 * (cache or CACHE_WHERE_UNKNOWN)
    assert cold.copies == LEAST_COPIES or (cold.copies - 1) * resident < 2 * (cache or CACHE_WHERE_UNKNOWN)


def test_a_layer_that_fills_the_caches_alone_still_has_a_second_draw_of_addresses():
    assert cold_on_cpu(1 << 33, 32 * MIB, PLENTY) == Cold(2)


def test_a_launch_that_flushes_the_caches_itself_needs_no_other_copy():
    assert cold_on_cpu(1 << 30, 32 * MIB, PLENTY, 8 * 32 * MIB) == Cold(1)
    assert cold_on_cpu(1 << 30, 32 * MIB, PLENTY, 8 * 32 * MIB - 1) == Cold(2)
    assert "many times what the caches hold" in describe(Cold(1), 1 << 30, 32 * MIB, "")


def test_a_layer_too_small_to_fill_the_caches_is_walked():
    cold = cold_on_cpu(24_000, 32 * MIB, PLENTY)
    assert (cold.copies, cold.walk) == (1, True)
    assert "so small a layer" in cold.reason
    assert cold_on_cpu(0, 32 * MIB, PLENTY).walk


def test_memory_decides_between_copies_and_the_walk():
    needed = cold_on_cpu(100 * MIB, 260 * MIB, PLENTY).copies * 100 * MIB
    assert not cold_on_cpu(100 * MIB, 260 * MIB, needed).walk
    short = cold_on_cpu(100 * MIB, 260 * MIB, needed - 1)
    assert short.walk
    assert "no room for 6 copies of 0.1 GB" in short.reason


def test_a_row_says_how_its_launches_were_made_cold():
    assert describe(Cold(6), 100 * MIB, 260 * MIB, "") == (
        "launches take turns over 6 copies, 600 MiB, 2.3 x the 260 MiB cache"
    )
    assert describe(Cold(6), 100 * MIB, None, "").endswith("600 MiB, cache size unknown")
    assert describe(Cold(1, "no room"), 100 * MIB, 260 * MIB, "256 MiB walked") == "256 MiB walked; no room"
