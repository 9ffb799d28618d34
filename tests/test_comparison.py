"""Who is held against whom."""

from __future__ import annotations

import pytest

from mglubench.comparison import NAIVE_FAMILY, Member, Role, compare_set, role_of, shown_ratios
from mglubench.estimates import Series
from mglubench.variants.registry import variants

ROUNDS = [0, 1, 2, 3, 4]


def member(key, role, level, group=None, rounds=ROUNDS):
    return Member(key, role, group, Series.of([level * (1 + 0.001 * r) for r in rounds], rounds))


SET = [
    member("slow-glu", Role.GLU, 60.0),
    member("glu", Role.GLU, 50.0),
    member("lu", Role.OTHER, 25.0),
    member("bool-1", Role.NAIVE, 900.0, 1),
    member("float-1", Role.PRINTED, 600.0, 1),
    member("complement-1", Role.NAIVE, 200.0, 1),
    member("ours-1", Role.OTHER, 20.0, 1),
    member("float-2", Role.PRINTED, 1000.0, 2),
    member("ours-2", Role.OTHER, 40.0, 2),
]


def test_every_variant_has_its_role():
    roles = {name: role_of(name, variant.layer) for name, variant in variants().items()}
    assert {name for name, role in roles.items() if role in (Role.NAIVE, Role.PRINTED)} == set(NAIVE_FAMILY)
    assert [name for name, role in roles.items() if role is Role.PRINTED] == ["mglu-naive-float"]
    assert {"swiglu", "swiglu-numba-cpu"} <= {name for name, role in roles.items() if role is Role.GLU}
    assert roles["lu"] is roles["mglu-premasked"] is roles["mglu-numba-cpu"] is Role.OTHER


def test_everything_is_held_against_the_fastest_glu():
    found = compare_set(SET)
    assert {compared.glu for compared in found.values()} == {"glu"}
    assert found["ours-1"].over_glu.value == pytest.approx(2.5)
    assert found["slow-glu"].over_glu.value == pytest.approx(50 / 60)
    assert (found["glu"].over_glu.value, found["glu"].over_glu.half_width) == (1.0, 0.0)
    assert found["lu"].latency.value == pytest.approx(25.0, rel=0.01)


def test_masked_layers_are_held_against_the_fastest_naive_layer_of_their_masks_and_the_printed_one():
    found = compare_set(SET)
    assert (found["ours-1"].naive, found["ours-1"].over_naive.value) == ("complement-1", pytest.approx(10.0))
    assert (found["ours-1"].printed, found["ours-1"].over_printed.value) == ("float-1", pytest.approx(30.0))
    # Where the printed one is alone it is the fastest as well.
    assert (found["ours-2"].naive, found["ours-2"].over_naive.value) == ("float-2", pytest.approx(25.0))
    assert found["lu"].naive is found["lu"].over_naive is found["lu"].over_printed is None


def test_a_set_without_a_baseline_has_no_ratio():
    found = compare_set([SET[2]])
    assert (found["lu"].glu, found["lu"].over_glu) == (None, None)
    assert shown_ratios(found) == []


def test_an_empty_set_has_nothing():
    assert compare_set([]) == {}


def test_cases_without_a_common_round_are_not_compared():
    late = member("late", Role.OTHER, 10.0, rounds=[7, 8, 9])
    assert compare_set([SET[1], late])["late"].over_glu is None


def test_the_shown_ratios_are_those_of_the_tables():
    shown = shown_ratios(compare_set(SET))
    # Eight over the fastest GLU, and those with masks over the fastest naive one but for itself.
    assert len(shown) == 8 + 3 + 1
    assert all(0 <= estimate.half_width < 0.01 for estimate in shown)
    assert 1.0 not in [estimate.value for estimate in shown]
