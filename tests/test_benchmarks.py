"""The programs of ``make bench`` judge rightly; what they measure is for a quiet machine."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext

from mglubench.results.repeats import repeats_of
from tests.benchmarks import cpu_limit, fleet, lowbit, reach, trials
from tests.benchmarks import fuzz as fuzz_program
from tests.benchmarks.repeats import promises
from tests.benchmarks.trials import TRACEBACK, in_forks
from tests.conftest import ROOT
from tests.results.repeated import derived, noisy_runs


def test_promises_of_repeats_hold_for_honest_intervals_alone():
    honest = promises(repeats_of(noisy_runs(12, 0.01, half=0.02, cases=6)))
    assert [holds for holds, _ in honest] == [True, True, True]
    narrow = promises(repeats_of(noisy_runs(12, 0.01, half=0.002, cases=6)))
    assert [holds for holds, _ in narrow] == [False, True, False]
    spread = promises(repeats_of(noisy_runs(12, 0.05, half=0.1, cases=6)))
    assert [holds for holds, _ in spread] == [True, False, True]
    assert [holds for holds, _ in promises(repeats_of([derived({"variant": "a"})] * 2))] == [False]


def test_a_sweep_that_fails_is_a_line_and_the_other_checks_go_on(tmp_path, monkeypatch):
    def check(scratch):
        reach.sweep(scratch / "run", "--nope")
        raise AssertionError("the sweep went on")

    ((holds, words),) = reach.kept(check, tmp_path)
    assert not holds
    assert re.match(r"check: .*mglubench sweep \.\.\. ended with exit code 2: error: .*--nope", words)


def test_the_operator_s_promise_is_of_the_median_and_tells_the_spread():
    assert reach.operator_promise(1, [1.2, 1.01, 1.02]) == (
        True,
        "flash_mglu over its kernel, median of 3 processes, nm=1: 1.02, promised below 1.03 (1.010 to 1.200)",
    )
    assert not reach.operator_promise(8, [1.04, 1.01, 1.05])[0]


def test_the_limits_of_a_cpu_are_judged_by_the_median_and_the_best_of_each_kind():
    rates = {"read 0 ahead": 40.0, "read rows": 30.0, "c plain": 41.0, "glu ours": 39.0, "glu torch": 30.0}
    rates |= {"nm 1": 37.0, "nm 2": 36.5, "nm 4": 36.0, "nm 8": 20.0, "bf16 1": 33.0, "bf16 8": 25.0}
    rates |= {"fp16 1": 33.0, "fp16 8": 25.0}
    told = cpu_limit.promises([rates, rates, {**rates, "nm 1": 20.0}])
    failed = [words for holds, words in told if not holds]
    assert failed == [
        "nm=8 of the ceiling: 0.500, promised at least 0.85 (0.500 to 0.500)",
        "nm=8 over the fastest GLU: 0.821, promised at least 1.35 (0.821 to 0.821)",
        "bfloat16 over float32, nm=1: 1.731, promised at least 1.8 (1.731 to 3.203)",
    ]
    assert (True, "nm=1 of the ceiling: 0.925, promised at least 0.92 (0.500 to 0.925)") in told
    assert len(told) == 16


def test_fewer_bits_are_judged_against_the_fastest_of_the_same_format_and_the_best_reader():
    us = {"read 0 ahead": 100.0, "read 512 ahead": 80.0, "float32 nm 1": 100.0}
    for name in ("int8", "int4"):
        us |= {f"{name} glu ours": 60.0, f"{name} glu torch": 50.0, **{f"{name} nm {nm}": 40.0 for nm in lowbit.NMS}}
    figures = {"us": us, "bytes": dict.fromkeys(us, 1000.0) | {f"int8 nm {nm}": 400.0 for nm in lowbit.NMS}}
    told = dict(reversed(result) for result in lowbit.promises([figures, figures, {**figures, "us": us}]))
    assert told["int8, nm=1 over the fastest int8 GLU: 1.250, promised at least 1.5 (1.250 to 1.250)"] is False
    assert told["int4, nm=1 over the fastest int4 GLU: 1.250, promised at least 1.3 (1.250 to 1.250)"] is False
    assert told["int8, nm=4 of the read ceiling: 0.800, promised at least 0.75 (0.800 to 0.800)"] is True
    assert told["int8 over float32, nm=1: 2.500, promised at least 2.5 (2.500 to 2.500)"] is True
    assert len(told) == 17


def test_what_a_fleet_costs_is_judged_by_its_worst_simulation_and_stored_as_it_is_told():
    stored = ROOT / "reports" / "fleet"
    found = [json.loads(line) for line in (stored / "simulation.jsonl").read_text().splitlines()]
    told = list(fleet.judged(found))
    assert "".join(f"ok: {words}\n" for _, words in told) == (stored / "simulation.txt").read_text()
    assert [holds for holds, _ in told] == [True] * 3
    found[-1]["waited_share"] = 0.051
    assert [holds for holds, _ in fleet.judged(found)] == [True, True, False]


def test_make_bench_runs_every_benchmark():
    named = re.search(r"^BENCHMARKS := (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert named is not None
    assert all((ROOT / "tests" / "benchmarks" / f"{part}.py").exists() for part in named[1].split())
    assert {
        "truth",
        "coverage",
        "reach",
        "cpu_limit",
        "lowbit",
        "repeats",
        "verdicts",
        "layer",
        "fleet",
        "serving",
        "batch",
        "page",
        "fuzz",
    } == set(named[1].split())


def test_fuzzers_go_on_from_their_journal_and_tell_what_went_wrong(tmp_path, monkeypatch):
    tried = []

    def fuzz(trials, seed, journal):
        return in_forks(trials, seed, lambda: nullcontext(trial), batch=2, journal=journal)

    def trial(number, generator):
        return [(TRACEBACK, "a `line` | words")] * (number == 3), ["2"]

    def batch(trials, *rest):
        tried.append(trials)
        return forked(trials, *rest)

    forked = trials._batch
    monkeypatch.setattr(trials, "_batch", batch)
    monkeypatch.setattr(fuzz_program, "FUZZERS", {"stored": ("damaged files", fuzz, 5)})
    monkeypatch.setattr("sys.argv", ["fuzz", str(tmp_path / "fuzz")])
    assert [fuzz_program.main(), fuzz_program.main()] == [1, 1]
    assert tried == [range(2), range(2, 4), range(4, 5)]
    text = (tmp_path / "fuzz" / "README.md").read_text()
    assert "| damaged files | 5 of 5 | 1 | 0 |" in text
    assert "- damaged files, `trial 3: tracebacks: a 'line' | words`" in text
    assert "- damaged files: 5 x 2" in text
    with (tmp_path / "fuzz" / "stored.jsonl").open("a") as journal:
        journal.write('{"cut off')
    assert fuzz_program.main() == 1
    assert tried[3:] == []
    assert "cut off" not in (tmp_path / "fuzz" / "stored.jsonl").read_text()
