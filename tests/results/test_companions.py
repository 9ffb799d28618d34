"""A case against those that the machine treats alike: found by their rounds, two of them, none against one alone."""

from __future__ import annotations

import numpy as np
import pytest

from mglubench.results.companions import companions, in_like_rounds, share_followed

VARIANTS = {"a1": "a", "a2": "a", "b": "b", "c": "c", "d": "d"}
# How much each case feels of what the machine does to memory.
FEELS = {"a1": 1.0, "a2": 1.0, "b": 1.0, "c": 0.1, "d": 0.1}


def made(runs=6, changed=0.0, seed=0):
    """Runs whose memory is as slow as it likes, round by round; one case changes in the second half of the runs."""
    rng = np.random.default_rng(seed)
    found = []
    for run in range(runs):
        machine = {number: rng.normal(0, 0.15) for number in range(6)}
        found.append(
            {
                key: {
                    (0, n): FEELS[key] * moved
                    + rng.normal(0, 0.01)
                    + (changed if key == "a1" and run >= runs / 2 else 0.0)
                    for n, moved in machine.items()
                }
                for key in VARIANTS
            }
        )
    return found, [0] * (runs // 2) + [1] * (runs - runs // 2)


def test_companions_move_with_a_case_and_show_what_it_does_alone():
    runs, sides = made(changed=0.1)
    found = companions(runs, VARIANTS, sides)
    assert {against.group for against in found["a1"].each} == {"a, others", "b"}
    assert {against.group for against in found["c"].each} <= {"d", "a", "b"}
    for against in (found["a1"].both, *found["a1"].each):
        assert against.deviation < 0.03
        moved = against.values[3:].mean() - against.values[:3].mean()
        assert moved == pytest.approx(0.1, abs=0.03)


def test_suspects_are_no_companions_of_each_other():
    runs, sides = made(changed=0.1)
    for run in runs[3:]:
        run["a2"] = {number: value + 0.1 for number, value in run["a2"].items()}
    hidden = companions(runs, VARIANTS, sides)["a1"].each
    assert min(abs(a.values[3:].mean() - a.values[:3].mean()) for a in hidden) < 0.03
    found = {against.group: against.values for against in companions(runs, VARIANTS, sides, ["a1", "a2"])["a1"].each}
    assert "a, others" not in found
    assert found["b"][3:].mean() - found["b"][:3].mean() == pytest.approx(0.1, abs=0.03)


def test_one_group_alone_is_no_witness():
    runs, sides = made()
    two = {key: VARIANTS[key] for key in ("b", "c")}
    assert companions([{k: run[k] for k in two} for run in runs], two, sides) == {}


def test_runs_and_rounds_that_lack_a_case_are_left_out():
    runs, sides = made()
    del runs[1]["a1"]
    for number in range(4):
        del runs[2]["a1"][0, number]
    found = companions(runs, VARIANTS, sides)
    (first, _) = found["a1"].each
    assert np.isnan(first.values[[1, 2]]).all()
    assert np.isfinite(first.values[[0, 3, 4, 5]]).all()
    assert companions([{} for _ in runs], VARIANTS, sides) == {}


def test_companions_that_repeats_knew_are_taken_first():
    runs, sides = made()
    known = ["a1 against c", "a1 against d"]
    found = companions(runs, VARIANTS, sides, known=known)["a1"]
    assert {against.group for against in found.each} == {"c", "d"}
    assert found.both.name("a1") == "a1 against c and d"


def two_speeds(rounds, fast, seed=0, share=0.6, changed=0.0, others=0.0):
    """Moves of a case and its companions, [2, R], on a machine whose memory is fast in some rounds."""
    rng = np.random.default_rng(seed)
    memory = np.where(np.arange(rounds) < fast * rounds, -0.35, 0.0)
    noise = rng.normal(0, 0.02, (2, rounds))
    return np.array([share * memory + changed, memory + others]) + noise


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5])
def test_a_case_follows_its_companions_by_a_share_of_its_own(share):
    sides = [two_speeds(24, 0.5, 0, share), two_speeds(24, 0.25, 1, share, changed=0.1)]
    assert share_followed(sides) == pytest.approx(share, abs=0.1)


def test_a_share_of_small_moves_says_nothing_of_large_ones():
    # Sides farther apart than rounds of either: whether all cases moved alike must not hang on what noise agrees on.
    sides = [two_speeds(24, 0.5, 0), two_speeds(24, 0.25, 1)]
    assert share_followed(sides) == pytest.approx(0.6, abs=0.1)
    assert share_followed([sides[0], sides[1] + 0.6]) == 1.0
    assert share_followed([two_speeds(200, 0.0, 0), two_speeds(200, 1.0, 1)]) == 1.0


def test_rounds_that_are_lacking_or_never_move_are_no_share():
    assert share_followed([np.zeros((2, 0)), np.zeros((2, 6))]) == 1.0


@pytest.mark.parametrize("changed", [-0.1, 0.0, 0.1])
def test_a_change_is_seen_in_rounds_in_which_memory_was_as_fast(changed):
    base, new = two_speeds(48, 0.1, 0), two_speeds(48, 0.5, 1, changed=changed)
    assert in_like_rounds(base, new) == pytest.approx(changed, abs=0.03)
    assert np.median(new[0]) - np.median(base[0]) < changed - 0.05
    runs = [base[:, :24], base[:, 24:], new[:, :24], new[:, 24:]]
    variants = {"own": "a", "one": "b", "two": "c"}
    rounds = [
        {key: {(0, n): float(run[row, n]) for n in range(24)} for key, row in (("own", 0), ("one", 1), ("two", 1))}
        for run in runs
    ]
    found = companions(rounds, variants, [0, 0, 1, 1])["own"].both
    assert found.alike == pytest.approx(changed, abs=0.03)
    assert found.values[2:].mean() - found.values[:2].mean() == pytest.approx(changed, abs=0.04)


def test_sides_without_rounds_in_common_say_nothing_of_a_change():
    assert np.isnan(in_like_rounds(two_speeds(48, 0.0, 0), two_speeds(48, 1.0, 1)))
    # Companions that all became faster are no other state of the machine.
    assert np.isnan(in_like_rounds(two_speeds(48, 0.0, 0), two_speeds(48, 0.0, 1, others=-0.15)))
