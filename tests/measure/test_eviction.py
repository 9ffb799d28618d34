"""How much is walked to empty the caches, and that it is read with every core."""

from __future__ import annotations

import pytest

from mglubench.hardware import cpu
from mglubench.hardware.cpu import MIB
from mglubench.measure import eviction
from mglubench.measure.eviction import CpuEvictor, walk_size


@pytest.mark.parametrize(
    ("cache", "walked", "words"),
    [
        (None, 256, "cache size unknown"),
        (1 * MIB, 64, "64.0 x the 1 MiB cache"),
        (16 * MIB, 64, "4.0 x the 16 MiB cache"),
        (32 * MIB, 128, "4.0 x the 32 MiB cache"),
        (100 * MIB, 256, "2.6 x the 100 MiB cache"),
        (256 * MIB, 256, "less than the 256 MiB cache"),
        (1024 * MIB, 256, "less than the 1024 MiB cache"),
    ],
)
def test_the_walk_exceeds_the_cache_unless_that_is_absurd(cache, walked, words):
    size, description = walk_size(cache)
    assert size == walked * MIB
    assert words in description
    assert f"{walked} MiB walked" in description


def test_the_parts_of_the_cores_make_up_the_walk(monkeypatch):
    monkeypatch.setattr(eviction, "SMALLEST_WALK", 8 * 1001)
    monkeypatch.setattr(eviction, "last_level_cache", lambda: 1001)
    evict = CpuEvictor()
    assert sum(len(part) for part in evict._parts) * 8 == 8 * 1001
    evict()
    assert "8.0 x" in evict.description


def test_the_largest_cache_is_the_last_level(tmp_path, monkeypatch):
    for index, size in enumerate(("32K", "1M", "36M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size + "\n")
    (tmp_path / "index9").mkdir()
    monkeypatch.setattr(cpu, "CACHES", tmp_path)
    assert cpu.last_level_cache() == 36 * MIB


def test_a_machine_that_reports_no_cache_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "CACHES", tmp_path)
    assert cpu.last_level_cache() is None
