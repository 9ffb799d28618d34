"""Are verdicts right? ``python -m tests.benchmarks.verdicts [N | RUN ...]``, on a quiet machine; in ``make bench``.

N runs (12) of a sweep of the GLU baselines and ``mglu-numba-cpu``, in fresh processes; beside the layer at nm=4 the
same with a wait of 5 and 10 % of its time (:mod:`tests.benchmarks.planted`). Stored runs of such a sweep are judged
again.

- Identical code against itself, in at least 40 comparisons of 3 runs a side: no more than 1 in 20 alarms, below 1 % of
  figures are called slower. The rates of other tools' rules on the same samples are printed beside.
- The layer with 10 % more, put in the place of the plain one, is SLOWER (its latency, or a ratio of it) in at least
  95 % of trials with 3 runs a side; with 5 % more its latency is never FASTER, and SAME in at most 5 %.

Exit code 1 if a promise does not hold.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mglubench.cli.output import print_tables
from mglubench.report.calibration_tables import calibration_tables
from mglubench.results.calibrate import OURS, Calibration, calibrate, splits, spread_of
from mglubench.results.compare import Rules, compare_runs
from mglubench.results.judgement import LATENCY, Verdict
from mglubench.results.run_figures import RunFigures, read_figures
from tests.benchmarks import planted

RUNS, SIDE = 12, 3
JOBS, OF_JOBS, OF_FIGURES = 40, 0.05, 0.01
CAUGHT, SAME_AT_5 = 0.95, 0.05
# Short rounds, many of them: a run takes about half a minute.
SWEEP = (
    "sweep",
    "--h",
    "2048",
    "--d",
    "8192",
    "--dtype",
    "float32",
    "--device",
    "cpu",
    "--no-ceiling",
    "--rounds",
    "24",
)
GLUS = "swiglu,swiglu-merged,swiglu-numba-cpu"
Trials = Mapping[str, Counter[Verdict]]


def main(words: Sequence[str]) -> int:
    """Print rates and a line per promise; 1 if one does not hold."""
    if words and not words[0].isdigit():
        runs = read_figures(map(Path, words), samples=True)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            folders = measured(Path(scratch), int(words[0]) if words else RUNS)
            runs = read_figures(folders, samples=True)
    found = calibrate([without_planted(run) for run in runs], Rules())
    print_tables(calibration_tables(found), "rich")
    results = [*clean(found), *caught(trials(runs))]
    for holds, line in results:
        print(f"{'holds' if holds else 'FAILS'}  {line}")
    return 0 if all(holds for holds, _ in results) else 1


def measured(scratch: Path, times: int) -> list[Path]:
    """The runs, each in processes of its own."""
    root = str(Path(__file__).resolve().parents[2])
    plugin = planted.install(scratch / "plugin")
    search = os.pathsep.join([root, str(plugin.folder), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": search}
    folders = []
    for number in range(times):
        folders.append(scratch / f"{number:02d}")
        _sweep(folders[-1], env, "--nm", "1,4,8", "--variants", f"{GLUS},{planted.PLAIN},planted-05,planted-10")
        print(f"run {number + 1} of {times}", file=sys.stderr, flush=True)
    return folders


def _sweep(out: Path, env: Mapping[str, str], *options: str) -> None:
    command = (sys.executable, "-m", "mglubench", *SWEEP, *options, "--out", str(out))
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def without_planted(run: RunFigures) -> RunFigures:
    """The run without the layers that wait."""
    return replace(run, cases={k: c for k, c in run.cases.items() if not c.case.variant.startswith("planted")})


def with_planted(run: RunFigures, variant: str) -> RunFigures:
    """The run as it would be if the plain layer were this one."""
    plain = without_planted(run)
    (slow,) = (c for c in run.cases.values() if c.case.variant == variant and c.case.nm == planted.NM and c.readings)
    key = next(k for k, c in plain.cases.items() if c.case.variant == planted.PLAIN and c.case.nm == planted.NM)
    return replace(plain, cases={**plain.cases, key: replace(slow, case=plain.cases[key].case)})


def trials(runs: Sequence[RunFigures]) -> Trials:
    """The verdicts on the planted layer's latency, by variant, over ways to choose two sides of the runs."""
    found: dict[str, Counter[Verdict]] = {}
    clean = [without_planted(run) for run in runs]
    for variant in ("planted-05", "planted-10"):
        slow = [with_planted(run, variant) for run in runs]
        counted = found.setdefault(variant, Counter())
        for base, new in splits(len(runs), SIDE):
            left = [clean[n] for n in range(len(runs)) if n not in (*base, *new)]
            memory = spread_of(left, "cpu") if len(left) > 2 else None
            sides = [clean[n] for n in base], [slow[n] for n in new]
            comparison = compare_runs(*sides, rules=Rules(recall=lambda device, memory=memory: memory))
            own = [
                j
                for j in comparison.judgements
                if j.case and (j.case.variant, j.case.nm) == (planted.PLAIN, planted.NM)
            ]
            (latency,) = (j.verdict for j in own if j.what == LATENCY)
            counted[Verdict.SLOWER if any(j.regression for j in own) else latency] += 1
    return found


def clean(found: Calibration) -> list[tuple[bool, str]]:
    """What is promised of identical code."""
    rates = [rate for rate in found.rates if rate.rule == OURS and rate.runs == SIDE]
    if not rates:
        return [(False, f"verdicts: {found.runs} runs are too few for {SIDE} a side and others to know the spread by")]
    (rate,) = rates
    words = f"identical code, {SIDE} runs a side: {rate.alarmed} of {rate.jobs} comparisons alarm"
    return [
        (
            rate.jobs >= JOBS and rate.of_jobs <= OF_JOBS,
            f"{words} ({rate.of_jobs:.1%}), promised at most {OF_JOBS:.0%}",
        ),
        (
            rate.of_figures < OF_FIGURES,
            f"{rate.slower} of {rate.figures} figures called slower ({rate.of_figures:.2%}), promised below "
            f"{OF_FIGURES:.0%}; {(rate.same or 0) / max(1, rate.figures):.0%} called the same",
        ),
    ]


def caught(found: Trials) -> list[tuple[bool, str]]:
    """What is promised of planted slow-downs."""
    results = []
    for variant, counted in found.items():
        count = sum(counted.values())
        told = ", ".join(f"{number} {verdict}" for verdict, number in counted.most_common())
        if variant == "planted-10":
            holds = counted[Verdict.SLOWER] >= CAUGHT * count
            words = f"promised {CAUGHT:.0%} slower"
        else:
            holds = counted[Verdict.FASTER] == 0 and counted[Verdict.SAME] <= SAME_AT_5 * count
            words = f"promised never faster, the same in at most {SAME_AT_5:.0%}"
        results.append((holds, f"{variant} in {count} trials of {SIDE} runs a side: {told}; {words}"))
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
