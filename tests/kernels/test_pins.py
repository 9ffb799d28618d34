"""Kernels held against their pins: every difference is seen, what is tolerated is no regression, files are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mglubench.errors import MglubenchError, StoreError, UsageError
from mglubench.kernels.against_pins import FACTS, AgainstPins, Fate, hold_against
from mglubench.kernels.inspect import InspectRow
from mglubench.kernels.pins import FORMAT, KernelKey, Pins, facts_of, read_pins, save_pins

COMPILER = "13.0.88"
ROW: InspectRow = {
    "variant": "flash-mglu-mma",
    "arch": "sm_90a",
    "nm": 8,
    "dtype": "float16",
    "compiler": COMPILER,
    "kernel": "flash_mglu_mma<1,1>",
    "entry": True,
    "status": "ok",
    "registers": 124,
    "local_bytes": 0,
    "spill_instructions": 0,
    "instructions": 1000,
    "shared_bytes": 18000,
    "occupancy": 0.25,
    "instructions_per_element": 0.3,
    "loads_16": 16,
    "loads_8": 0,
    "loads_4": 0,
    "loads_less": 0,
}


def changed(**values: str | int | float) -> InspectRow:
    return {**ROW, **values}


def without(*names: str) -> InspectRow:
    return {name: value for name, value in ROW.items() if name not in names}


def held(pinned: list[InspectRow], rows: list[InspectRow], compiler: str = COMPILER) -> AgainstPins:
    by_kernel: dict[KernelKey, dict[str, InspectRow]] = {}
    for row in pinned:
        by_kernel.setdefault(KernelKey.of(row), {})[str(row["compiler"])] = row
    asked = {KernelKey.of(row).subject for row in (*pinned, *rows)}
    return hold_against(Pins(by_kernel), rows, asked, compiler)


@pytest.mark.parametrize(
    ("values", "fate"),
    [
        ({}, Fate.SAME),
        ({"threads": 256, "limited_by": "warps"}, Fate.SAME),
        ({"local_bytes": 4}, Fate.REGRESSION),
        ({"spill_instructions": 1}, Fate.REGRESSION),
        # 124 to 128 registers are one allocation unit, 129 one more.
        ({"registers": 128}, Fate.WORSE),
        ({"registers": 129}, Fate.REGRESSION),
        ({"registers": 96}, Fate.BETTER),
        ({"shared_bytes": 18048}, Fate.WORSE),
        ({"shared_bytes": 18049}, Fate.REGRESSION),
        ({"occupancy": 0.1875}, Fate.REGRESSION),
        ({"occupancy": 0.5}, Fate.BETTER),
        ({"instructions_per_element": 0.302}, Fate.WORSE),
        ({"instructions_per_element": 0.304}, Fate.REGRESSION),
        ({"instructions_per_element": 0.29}, Fate.BETTER),
        ({"instructions": 1100}, Fate.WORSE),
        ({"instructions": 1101}, Fate.REGRESSION),
        ({"instructions": 999}, Fate.BETTER),
        # As wide, only more of them in a longer loop.
        ({"loads_16": 32}, Fate.SAME),
        ({"loads_16": 15, "loads_8": 2}, Fate.REGRESSION),
        # One fact that regresses outweighs others that gain.
        ({"registers": 64, "occupancy": 0.5, "spill_instructions": 2}, Fate.REGRESSION),
        ({"registers": 128, "instructions": 900}, Fate.WORSE),
    ],
)
def test_a_difference_is_a_change_and_a_regression_beyond_what_is_tolerated(
    values: dict[str, int | float], fate: Fate
) -> None:
    (found,) = held([ROW], [changed(**values)]).held
    assert found.fate == fate
    assert bool(found.changes) == (fate != Fate.SAME)


@pytest.mark.parametrize("fact", [name for name in FACTS if name != "load_bytes"])
def test_a_fact_that_cannot_be_read_any_more_is_a_regression(fact: str) -> None:
    pinned = {**ROW, fact: ROW.get(fact, 256)}  # some facts are of processors alone
    (found,) = held([pinned], [without(fact)]).held
    assert (found.fate, found.changes[0].fact, found.changes[0].now) == (Fate.REGRESSION, fact, None)
    (gained,) = held([without(fact)], [pinned]).held
    assert gained.fate == Fate.BETTER


def test_the_width_of_loads_is_their_mean() -> None:
    assert facts_of(changed(loads_16=2, loads_4=2), FACTS)["load_bytes"] == 10
    assert "load_bytes" not in facts_of(changed(loads_16=0), FACTS)


def test_regressions_come_first_among_changes_and_kernels() -> None:
    worse = changed(registers=129, instructions=999, spill_instructions=3)
    other = changed(kernel="flash_mglu_mma<1,0>")
    found = held([ROW, other], [other, worse])
    assert [item.fate for item in found.held] == [Fate.REGRESSION, Fate.SAME]
    assert [change.fact for change in found.held[0].changes] == ["spill_instructions", "registers", "instructions"]
    assert found.counts() == {Fate.REGRESSION: 1, Fate.SAME: 1}


def test_new_and_gone_kernels_are_listed() -> None:
    old, new = changed(kernel="a"), changed(kernel="b")
    assert [(item.key.kernel, item.fate) for item in held([old], [new]).held] == [("a", Fate.GONE), ("b", Fate.NEW)]
    (found,) = held([], [changed(kernel="b")]).held
    assert (found.fate, found.reason) == (Fate.INCOMPARABLE, "nothing is pinned for sm_90a")


def test_a_new_kernel_that_spills_is_a_regression() -> None:
    found = held([changed(kernel="a")], [changed(kernel="a"), changed(kernel="b", local_bytes=16)])
    assert [(item.key.kernel, item.fate) for item in found.held] == [("b", Fate.REGRESSION), ("a", Fate.SAME)]


def test_a_spill_that_is_pinned_is_no_regression() -> None:
    """A kernel may be faster with it: pinned on purpose, it stays as it is."""
    spills = changed(local_bytes=16, spill_instructions=4)
    assert held([spills], [spills]).held[0].fate == Fate.SAME
    assert held([spills], [ROW]).held[0].fate == Fate.BETTER
    assert held([spills], [changed(local_bytes=20, spill_instructions=4)]).held[0].fate == Fate.REGRESSION


def test_another_compiler_cannot_be_compared_but_for_spills() -> None:
    (found,) = held([ROW], [changed(compiler="13.1.9", registers=168)], "13.1.9").held
    assert (found.fate, [change.fact for change in found.changes]) == (Fate.INCOMPARABLE, ["registers"])
    assert found.reason == "pinned with compiler 13.0.88, compiled with 13.1.9"
    (found,) = held([ROW], [changed(compiler="13.1.9", local_bytes=8)], "13.1.9").held
    assert found.fate == Fate.REGRESSION
    # Once both are pinned, each is held against its own.
    both = [ROW, changed(compiler="13.1.9", registers=168)]
    assert held(both, [changed(compiler="13.1.9", registers=168)], "13.1.9").held[0].fate == Fate.SAME
    assert held(both, [ROW]).held[0].fate == Fate.SAME


def test_a_kernel_that_does_not_compile_is_an_error_and_not_gone() -> None:
    failed: InspectRow = {**without("entry"), "kernel": "", "status": "error", "reason": "no such target"}
    (found,) = held([ROW], [failed]).held
    assert (found.fate, found.reason) == (Fate.ERROR, "no such target")


def test_what_was_not_looked_at_is_left_out() -> None:
    found = hold_against(Pins({KernelKey.of(ROW): {COMPILER: ROW}}), [], [], COMPILER)
    assert (found.held, found.left_out) == ((), 1)


def test_pins_come_back_as_they_were_saved(tmp_path: Path) -> None:
    rows = [ROW, changed(nm=1), changed(arch="sm_100a", dtype="bfloat16", nm=0, kernel="x")]
    save_pins(tmp_path / "pins.json", rows)
    pins = read_pins(tmp_path / "pins.json")
    assert [row for found in pins.rows.values() for row in found.values()] == rows
    assert (pins.archs, pins.nms, pins.dtypes) == (["sm_90a", "sm_100a"], [1, 8], ["float16", "bfloat16"])
    # A line per kernel, so that a change of one is a change of one line in git.
    assert len((tmp_path / "pins.json").read_text().splitlines()) == 2 + len(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no pins"),
        ("[]", "was not made by"),
        (json.dumps([ROW]), "was not made by"),
        (json.dumps({"format": FORMAT + 1, "rows": []}), "upgrade mglubench"),
        (json.dumps({"format": FORMAT, "rows": []}), "pins nothing"),
        (json.dumps({"format": FORMAT}), "holds no pins"),
        (json.dumps({"format": FORMAT, "rows": [3]}), "holds no pins"),
        (json.dumps({"format": FORMAT, "rows": [without("compiler")]}), "row 1 has no compiler"),
        (json.dumps({"format": FORMAT, "rows": [ROW, changed(nm="8")]}), "row 2 has no nm"),
        (json.dumps({"format": FORMAT, "rows": [ROW, ROW]}), "a second time"),
        (json.dumps({"format": FORMAT, "rows": [changed(kernel=[])]}), "holds no pins"),  # type: ignore[arg-type]
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pins.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=words) as refused:
        read_pins(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there are no pins in .*--save"):
        read_pins(tmp_path / "none.json")
    with pytest.raises(MglubenchError, match="cannot be read"):
        read_pins(tmp_path)
