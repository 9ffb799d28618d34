"""Do runs agree, and do their intervals say how far? ``python -m tests.benchmarks.repeats [N] [--keep FOLDER] ...``.

N repeats (12) of a sweep of the GLU baselines and ``mglu-numba-cpu``, in fresh processes, by ``mglubench repeat``,
whose tables are printed; other options go to it. With a folder to keep them in, repeats can be taken in slices: what
``4 --keep FOLDER`` has measured, ``8 --keep FOLDER`` does not measure again. On a quiet machine of two cores: printed
intervals hold the median over all runs in at least 90 % of cases, no ratio has a standard deviation of more than 2.5 %
between runs, and no interval is narrower than half of what that spread asks for. Part of ``make bench``; exit code 1
if a promise does not hold.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mglubench.results.repeats import Repeats, read_repeats, summary

REPEATS = 12
# How long and how often each case is sampled is left to the sweep: its defaults are what is promised.
SWEEP = (
    *("--h", "2048", "--d", "8192", "--nm", "1,4,8", "--dtype", "float32", "--device", "cpu", "--no-ceiling"),
    *("--variants", "swiglu,swiglu-merged,swiglu-compiled,swiglu-numba-cpu,mglu-numba-cpu"),
)
COVERED, LARGEST = 0.9, 0.025


def main(words: Sequence[str]) -> int:
    """Print the tables and a line per promise; 1 if one does not hold."""
    times, options = (int(words[0]), words[1:]) if words and words[0].isdigit() else (REPEATS, words)
    keep = Path(options[1]) if options[:1] in (["--keep"], ("--keep",)) and len(options) > 1 else None
    options = options if keep is None else options[2:]
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch) / "repeats"
        command = (sys.executable, "-m", "mglubench", "repeat", "--times", str(times), "--out", str(folder))
        start = time.perf_counter()
        ended = subprocess.run((*command, *SWEEP, *options))
        seconds = time.perf_counter() - start
        if ended.returncode:
            print(f"FAILS  repeats: mglubench repeat ended with exit code {ended.returncode}")
            return 1
        results = promises(read_repeats(sorted(folder.iterdir())))
    for holds, line in results:
        print(f"{'holds' if holds else 'FAILS'}  {line}")
    print(f"       {times} repeats of {seconds / times:.1f} s each, checks and start included (no promise)")
    return 0 if all(holds for holds, _ in results) else 1


def promises(repeats: Repeats) -> list[tuple[bool, str]]:
    """Whether runs agree as promised, in words."""
    found = summary(repeats.ratios)
    if found is None or not found.intervals:
        return [(False, f"repeats: no ratio has an interval in {repeats.runs} runs")]
    share = found.covered / found.intervals
    worst = min(repeats.ratios, key=lambda figure: figure.covered - figure.intervals)
    return [
        (
            share >= COVERED,
            f"intervals of {found.figures} ratios cover the median of {repeats.runs} runs: {found.covered} of "
            f"{found.intervals} ({share:.1%}), promised at least {COVERED:.0%}; the least often covered is "
            f"{worst.variant} nm={worst.nm}, {worst.covered} of {worst.intervals}",
        ),
        (
            found.largest <= LARGEST,
            f"the largest standard deviation of a ratio between runs: {found.largest:.2%} "
            f"({found.largest_of.variant} nm={found.largest_of.nm}; median {found.median:.2%}), "
            f"promised at most {LARGEST:.1%}",
        ),
        (found.narrow == 0, f"intervals narrower than half the spread: {found.narrow}, promised 0"),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
