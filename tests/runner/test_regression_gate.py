"""A gate on fake sessions: alarms are confirmed, noise and slow machines are cleared, a killed gate goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from mglubench.cases.config import build_spec
from mglubench.cases.sweep_spec import SweepSpec
from mglubench.errors import StoreError, UsageError
from mglubench.executors.fake import FakeSession
from mglubench.executors.open import Opened
from mglubench.measure.measurement import Measurement
from mglubench.results.compare import Rules
from mglubench.results.judgement import LATENCY, Reason, Verdict
from mglubench.results.run_comparison import Comparison
from mglubench.results.store import read_header, read_rows
from mglubench.runner.gate_folder import GATE
from mglubench.runner.progress import Progress
from mglubench.runner.regression_gate import OtherSide, Question, gate
from mglubench.runner.repeat import repeat
from tests.conftest import tree

NAMES = ["lu", "swiglu", "swiglu-merged", "mglu-naive", "mglu-naive-float", "mglu-premasked"]
SLOW = {"mglu-premasked": 1.3}


class Machine:
    """Opens fake sessions; ``slow`` may change from one to the next."""

    def __init__(self, *slow: Mapping[str, float], faults: Mapping[str, str] | None = None) -> None:
        self.slow, self.faults, self.opened = slow or ({},), faults, 0

    @contextmanager
    def __call__(self, seconds: float) -> Iterator[Opened]:
        slow = self.slow[min(self.opened, len(self.slow) - 1)]
        self.opened += 1
        yield Opened(FakeSession(self.faults, slow=slow))


def spec(**options: Any) -> SweepSpec:
    values = {"shape": "64x96", "nm": [1, 2], "variants": NAMES, "ceiling": False, "rounds": 6, "processes": 3}
    return build_spec({**values, **options})


@pytest.fixture
def base(tmp_path: Path) -> list[Path]:
    return [run.folder for run in repeat(spec(), 3, Machine(), tmp_path / "base").runs]


def asked(base: list[Path], other: Machine | None = None, **changes: Any) -> Question:
    side = OtherSide("--base-ref main", "c0ffee", nullcontext(other)) if other else None
    values: dict[str, Any] = {"spec": spec(), "name": "main", "base": base, "times": 3, "rules": Rules(), "other": side}
    return Question(**{**values, **changes})


def latency(comparison: Comparison, variant: str, nm: int = 1) -> Any:
    (found,) = [
        judgement
        for judgement in comparison.judgements
        if judgement.what == LATENCY and judgement.case and (judgement.case.variant, judgement.case.nm) == (variant, nm)
    ]
    return found


def variants_of(run: Path) -> set[str]:
    return {row.case.variant for row in read_rows(run)}


def test_the_same_code_is_no_alarm_and_measured_once(tmp_path: Path, base: list[Path]) -> None:
    found = gate(asked(base), Machine(), tmp_path / "gate")
    assert (found.comparison.exit_code(), found.suspects) == (0, ())
    assert sorted(path.name for path in found.folder.iterdir() if path.name != ".lock") == [GATE, "new"]


def test_a_slow_variant_is_measured_again_alone_and_confirmed(tmp_path: Path, base: list[Path]) -> None:
    said: list[str] = []
    found = gate(asked(base), Machine(SLOW), tmp_path / "gate", tell=said.append)
    assert found.comparison.exit_code() == 3
    assert {key.split("/")[0] for key in found.suspects} == {"mglu-premasked"}
    judged = latency(found.comparison, "mglu-premasked")
    assert (judged.verdict, judged.change) == (Verdict.SLOWER, pytest.approx(0.3, abs=0.02))
    assert "confirmed in 3 runs of their own, first seen as +30" in judged.words
    again = sorted((found.folder / "again" / "new").iterdir())
    assert [path.name for path in again] == ["01", "02", "03"]
    # The suspects with what they are held against, and not everybody.
    assert "mglu-premasked" in variants_of(again[0])
    assert len(variants_of(again[0])) < len(NAMES)
    assert not (found.folder / "again" / "base").exists()
    assert any("2 suspected cases, measured again in 3 runs of their own" in line for line in said)


def test_an_alarm_that_does_not_come_again_is_cleared(tmp_path: Path, base: list[Path]) -> None:
    found = gate(asked(base), Machine(SLOW, SLOW, SLOW, {}), tmp_path / "gate")
    assert found.first.exit_code() == 3
    assert found.comparison.exit_code() == 0
    judged = latency(found.comparison, "mglu-premasked")
    assert (judged.verdict, judged.reason) == (Verdict.UNCLEAR, Reason.NOT_CONFIRMED)
    assert "slower by +30" in judged.words


def test_both_codes_take_turns(tmp_path: Path, base: list[Path]) -> None:
    said: list[str] = []
    found = gate(asked(base, Machine()), Machine(SLOW), tmp_path / "gate", tell=said.append)
    assert found.comparison.exit_code() == 3
    assert "confirmed in turns with --base-ref main" in latency(found.comparison, "mglu-premasked").words
    turns = [line.split(",")[1].split(":")[0].strip() for line in said if line.startswith("again")]
    assert turns == ["base", "new", "new", "base", "base", "new"]
    assert variants_of(found.folder / "again" / "base" / "01") == variants_of(found.folder / "again" / "new" / "01")


def test_what_is_slow_with_the_code_of_before_is_the_machine(tmp_path: Path, base: list[Path]) -> None:
    found = gate(asked(base, Machine(SLOW)), Machine(SLOW), tmp_path / "gate")
    assert (found.first.exit_code(), found.comparison.exit_code()) == (3, 0)
    assert latency(found.comparison, "mglu-premasked").reason is Reason.NOT_CONFIRMED


@pytest.mark.parametrize(("then", "code"), [(1.0, 3), (1.3, 0)])
def test_code_that_all_share_is_told_from_the_machine(tmp_path: Path, base: list[Path], then: float, code: int) -> None:
    """All cases slower together: the code of before, in turns, says whose fault it is."""
    now, before = Machine(dict.fromkeys(NAMES, 1.3)), Machine(dict.fromkeys(NAMES, then))
    found = gate(asked(base, before), now, tmp_path / "gate")
    assert found.first.exit_code() == 0
    assert {judgement.verdict for judgement in found.first.common} == {Verdict.UNCLEAR}
    assert found.comparison.exit_code() == code
    (common,) = found.comparison.common
    assert common.verdict is (Verdict.SLOWER if code else Verdict.SAME)
    assert ("it is code that all share" if code else "it was the machine") in common.words


def test_a_case_that_fails_is_a_defect_and_not_measured_again(tmp_path: Path, base: list[Path]) -> None:
    found = gate(asked(base), Machine(faults={"mglu-premasked": "wrong"}), tmp_path / "gate")
    assert (found.comparison.exit_code(), found.suspects) == (1, ())


def test_a_suspect_that_cannot_be_measured_again_stays_one(tmp_path: Path, base: list[Path]) -> None:
    absent = Machine(faults={"mglu-premasked": "unavailable"})
    found = gate(asked(base, absent), Machine(SLOW), tmp_path / "gate")
    assert found.comparison.exit_code() == 3
    assert "could not be measured again" in latency(found.comparison, "mglu-premasked").words


class Stopped(Progress):
    """Ctrl-C after so many cases."""

    def __init__(self, cases: int) -> None:
        self.left = cases

    def finished(self, measurement: Measurement) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("cases", [1, 10, 27, 31, 40])
def test_an_interrupted_gate_goes_on(tmp_path: Path, base: list[Path], cases: int) -> None:
    whole = gate(asked(base, Machine()), Machine(SLOW), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        gate(asked(base, Machine()), Machine(SLOW), tmp_path / "gate", progress=Stopped(cases))
    kept = {path: path.read_bytes() for path in (tmp_path / "gate").rglob("rows.jsonl")}
    found = gate(asked(base, Machine()), Machine(SLOW), tmp_path / "gate")
    assert all(path.read_bytes().startswith(text) for path, text in kept.items())
    assert found.suspects == whole.suspects
    assert [(j.key, j.what, j.verdict) for j in found.comparison.judgements] == [
        (j.key, j.what, j.verdict) for j in whole.comparison.judgements
    ]


def test_a_finished_gate_measures_nothing_again(tmp_path: Path, base: list[Path]) -> None:
    first = gate(asked(base), Machine(SLOW), tmp_path / "gate")
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("rows.jsonl")}
    again = gate(asked(base), Machine(SLOW), tmp_path / "gate")
    assert again.comparison.exit_code() == 3
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("rows.jsonl")} == before


def test_headers_tell_the_cases_that_were_measured_again(tmp_path: Path, base: list[Path]) -> None:
    found = gate(asked(base), Machine(SLOW), tmp_path / "gate")
    run = found.folder / "again" / "new" / "01"
    assert read_header(run)["cases"] == len(list(read_rows(run)))


def refused(question: Question, out: Path, words: str, kind: type[Exception] = UsageError) -> None:
    before = tree(out) if out.is_dir() else out.exists()
    with pytest.raises(kind, match=words) as error:
        gate(question, Machine(), out)
    assert "\n" not in str(error.value)
    assert (tree(out) if out.is_dir() else out.exists()) == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path, base: list[Path]) -> None:
    gate(asked(base), Machine(), tmp_path / "gate")
    refused(asked(base, times=4), tmp_path / "gate", "holds another gate; it differs in times")
    refused(asked(base, Machine()), tmp_path / "gate", "it differs in other")
    refused(asked(base[:2]), tmp_path / "gate", "it differs in baseline")
    refused(asked(base, spec=spec(nm=[1])), tmp_path / "gate", "holds another sweep")
    refused(asked(base), tmp_path / "base", "something else than a gate")
    (tmp_path / "file").write_text("x")
    refused(asked(base), tmp_path / "file", "choose another --out")
    (tmp_path / "gate" / GATE).write_text("{")
    refused(asked(base), tmp_path / "gate", "cannot be read", StoreError)


def test_nothing_is_written_for_bad_input(tmp_path: Path, base: list[Path]) -> None:
    refused(asked(base, spec=spec(shape="32x48")), tmp_path / "new", "no case of this sweep is in the baseline main")
    refused(asked(base, times=1), tmp_path / "new", "times is 1")

    @contextmanager
    def broken() -> Iterator[Machine]:
        raise UsageError("'nope' is no commit")
        yield

    side = OtherSide("--base-ref nope", "nope", broken())
    refused(Question(spec(), "main", base, 3, Rules(), side), tmp_path / "new", "'nope' is no commit")
