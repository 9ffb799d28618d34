"""What is measured in the same rounds, and how it is split where the memory is short."""

from __future__ import annotations

import dataclasses

from mglubench.comparison import NAIVE_FAMILY
from mglubench.hardware.cpu import MIB
from mglubench.layer.problem import host_bytes
from mglubench.runner.sets import SET_SHARE, sets_of
from mglubench.variants.registry import get_variant
from tests.conftest import make_case

CACHE = 32 * MIB
SHAPE = {"h": 256, "d": 256, "mode": "cold"}
GLUS = [make_case(variant=name, nm=0, **SHAPE) for name in ("swiglu", "swiglu-merged")]
READ = make_case(variant="stream-read", nm=0, h=4096, d=64, mode="cold")
PRODUCT = make_case(variant="matrix-product", nm=0, h=64, d=64, mode="cold")


def mglus(nm, names=(*NAIVE_FAMILY, "mglu-premasked", "mglu-numba-cpu")):
    return [make_case(variant=name, nm=nm, **SHAPE) for name in names]


def cases_of(sets):
    return [list(group.cases) for group in sets]


def test_a_setting_is_one_set_with_the_read_of_its_memory():
    cases = [READ, PRODUCT, *GLUS, *mglus(1)]
    assert cases_of(sets_of(cases, {"cpu": 1 << 36}, CACHE)) == [[PRODUCT], [READ, *GLUS, *mglus(1)]]


def test_processes_live_side_by_side_where_the_memory_holds_the_set_that_often():
    def side_by_side(total, processes=3):
        return {group.side_by_side for group in sets_of([READ, *GLUS, *mglus(1)], {"cpu": total}, CACHE, processes)}

    assert side_by_side(1 << 36) == {3}
    assert side_by_side(1 << 36, processes=1) == {1}
    held = next(size for size in range(24, 60) if side_by_side(1 << size) == {3})
    assert side_by_side(1 << (held - 2)) == {1}


def test_as_many_processes_as_the_memory_holds_and_no_wave_larger_than_it_need_be():
    def widths(processes):
        totals = range(1 << 22, 1 << 26, 1 << 18)
        return {sets_of(hot, {"cpu": total}, CACHE, processes)[0].side_by_side for total in totals}

    hot = [dataclasses.replace(case, mode="hot") for case in mglus(4)]
    assert widths(3) == {1, 2, 3}
    assert widths(4) == {1, 2, 4}


def test_what_launches_give_back_is_counted_once_for_all_cases_of_a_set():
    naive = dataclasses.replace(*mglus(1, ["mglu-naive-float"]), mode="hot")
    twice = [naive, dataclasses.replace(naive, nm=2)]
    variant = get_variant(naive.variant)
    passing = max(variant.passing_bytes(case) for case in twice)
    # The mask of the one is the first mask of the other.
    kept = variant.resident_bytes(twice[1]) - variant.passing_bytes(twice[1]) - naive.elements * naive.itemsize
    shared = naive.elements * naive.itemsize
    needed = (shared + host_bytes(naive) + kept + passing) / SET_SHARE
    assert len(sets_of(twice, {"cpu": round(1.001 * needed)}, CACHE)) == 1
    assert len(sets_of(twice, {"cpu": round(0.999 * needed)}, CACHE)) == 2


def test_what_cases_have_in_common_is_counted_once():
    masks = 4 * 256 * 256 * 4
    for case in mglus(4, ["mglu-naive-float", "mglu-naive-complement"]):
        assert get_variant(case.variant).common_bytes(case) == {"masks": masks}

    def least(*names):
        hot = [dataclasses.replace(case, mode="hot") for case in mglus(4, names)]
        return next(size for size in range(0, 1 << 24, 1 << 14) if len(sets_of(hot, {"cpu": size}, CACHE)) == 1)

    alone = least("mglu-numba-cpu", "mglu-naive-float")
    assert least("mglu-numba-cpu", "mglu-naive-float", "mglu-naive-complement") - alone < masks / 2


def test_settings_are_sets_of_their_own_and_each_has_the_read():
    other = [dataclasses.replace(case, batch=2) for case in GLUS]
    sets = sets_of([READ, *GLUS, *other], {"cpu": 1 << 36}, CACHE)
    assert cases_of(sets) == [[READ, *GLUS], [READ, *other]]
    assert [group.number for group in sets] == [0, 1]


def test_a_read_that_no_setting_needs_is_measured_alone():
    hot = [dataclasses.replace(case, mode="hot") for case in GLUS]
    assert cases_of(sets_of([READ, *hot], {"cpu": 1 << 36}, CACHE)) == [[READ], hot]


def test_nothing_is_no_set():
    assert sets_of([], {"cpu": 1}, CACHE) == []


def test_a_short_memory_splits_and_every_set_holds_the_baselines():
    cases = [*GLUS, *(case for nm in range(1, 17) for case in mglus(nm))]
    total = 1_000_000_000
    sets = cases_of(sets_of(cases, {"cpu": total}, CACHE))
    assert len(sets) > 1
    assert {case for group in sets for case in group} == set(cases)
    for group in sets:
        assert set(GLUS) <= set(group)
        for case in group:
            if case.nm:
                assert set(mglus(case.nm, NAIVE_FAMILY)) <= set(group)
    ours = [case for group in sets for case in group if case.variant == "mglu-numba-cpu"]
    assert len(ours) == len(set(ours)) == 16


def test_a_set_takes_no_more_than_its_share_of_the_memory():
    hot = [dataclasses.replace(case, mode="hot") for nm in range(1, 17) for case in mglus(nm, ("mglu-premasked",))]
    total = 10_000_000
    groups = cases_of(sets_of(hot, {"cpu": total}, CACHE))
    assert 1 < len(groups) < len(hot)
    for group in groups:
        # The copies of the first masks are those of every case.
        held = max(get_variant(case.variant).resident_bytes(case) for case in group)
        assert held <= SET_SHARE * total or len(group) == 1


def test_what_fits_nowhere_goes_alone_and_nothing_is_lost():
    cases = [READ, *GLUS, *mglus(2, ("mglu-premasked",))]
    assert sorted(cases_of(sets_of(cases, {"cpu": 1}, CACHE)), key=str) == sorted(([case] for case in cases), key=str)
