"""Bugs planted by rule: a few of what `make mutants` tries, and that the program tells the truth of them."""

from __future__ import annotations

from dataclasses import replace

import mutants
import pytest
from kernel_emulator import ROOT, skip_reason
from mutants import FOUND, SAME, SURVIVED, judge, table
from mutate import Mutant, chosen, cuda_files, mutants_of
from survivors import SURVIVORS

needs_compiler = pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason()))

DRAWN = chosen()
# One of each source, of kinds that the first builds tell.
QUICK = ("assignment", "bitwise", "condition", "operator", "statement")
SHORT = [
    next(m for m in DRAWN if m.file == file and m.kind in QUICK and m.name not in SURVIVORS)
    for file in cuda_files()
    if file.endswith((".cu", "mma_tile.cuh", "host.cuh"))
]


@needs_compiler
@pytest.mark.parametrize("mutant", SHORT, ids=lambda m: f"{m.file}:{m.line}-{m.kind}")
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    verdict, why = judge(mutant, ("main", "int4"))
    assert verdict == FOUND, f"{mutant.describe()}: {verdict} {why}"


@needs_compiler
def test_a_change_of_nothing_is_no_bug() -> None:
    mutant = next(m for m in DRAWN if m.file.endswith("mma_tile.cuh"))
    assert judge(replace(mutant, new=mutant.old), ("main",)) == (SAME, "")


def test_many_are_drawn_and_always_the_same() -> None:
    assert len(DRAWN) >= 130
    assert chosen() == DRAWN
    assert len({m.name for m in DRAWN}) == len(DRAWN)
    assert {m.kind for m in DRAWN} >= {"barrier", "bound", "constant", "conversion", "operator", "shift", "asm", "lane"}
    everything = [m for file in cuda_files() for m in mutants_of(file)]
    assert len(everything) > 1500


def test_a_mutant_changes_one_place_of_code() -> None:
    for mutant in DRAWN:
        source, text = (ROOT / mutant.file).read_text(), mutant.text()
        assert source != text
        assert source[: mutant.at] == text[: mutant.at]
        assert not mutant.before.startswith(("//", "#include", "static_assert")), mutant


def test_every_reason_belongs_to_a_survivor_that_is_drawn() -> None:
    assert set(SURVIVORS) <= {m.name for m in DRAWN}, "sources have changed: run `make mutants`"
    assert all(reason.partition(":")[0] in ("equivalent", "speed", "size") for reason in SURVIVORS.values())


def test_parts_are_the_whole_once(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Slices into one journal, then the table from it, without judging anything again."""
    seen: list[str] = []
    monkeypatch.setattr(mutants, "judge", lambda mutant: (seen.append(mutant.name), (FOUND, "x"))[1])
    journal, written = tmp_path / "journal", tmp_path / "table.md"
    for part in ("1/3", "2/3", "3/3"):
        monkeypatch.setattr("sys.argv", ["mutants.py", "--part", part, "--journal", str(journal)])
        assert mutants.main() == 0
    assert sorted(seen) == sorted(m.name for m in DRAWN)
    monkeypatch.setattr("sys.argv", ["mutants.py", "--journal", str(journal), "--table", str(written)])
    assert mutants.main() == 0
    assert len(seen) == len(DRAWN)
    assert "found, 100 %" in written.read_text()


@pytest.mark.parametrize(
    "words", [["--part", "4/3"], ["--part", "0/3"], ["--part", "x"], ["--part", "1/2", "--table", "t"]]
)
def test_a_part_that_is_none_is_refused(words, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("sys.argv", ["mutants.py", *words])
    with pytest.raises(SystemExit):
        mutants.main()
    assert "error: " in capsys.readouterr().err


def test_the_table_counts_what_was_found() -> None:
    first, second, third = DRAWN[:3]
    text = table([(first, FOUND, ""), (second, SURVIVED, ""), (third, SAME, "")])
    assert "**1 were found, 50 %**" in text
    assert second.name in text
