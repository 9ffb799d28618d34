"""What the NVTX ranges of a case cost where no profiler listens: ``python -m tests.benchmarks.annotation``."""

from __future__ import annotations

import sys
import timeit

from mglubench.measure.annotate import case_range, phase_range

KEY = "flash-mglu-mma/2048x8192/nm8/b1/float16/silu/bernoulli:0.5/cold/cuda/seed0"
TURNS = 100_000


def annotated_turn() -> None:
    """The ranges that one turn of a case opens."""
    with case_range(KEY, "cuda"), phase_range("timed"):
        pass


def cost_of_a_turn() -> float:
    """Seconds per turn, the best of five repetitions."""
    return min(timeit.repeat(annotated_turn, number=TURNS, repeat=5)) / TURNS


def main() -> int:
    """Print the cost; a turn takes 0.1 s, so a hundredth of a per cent is 10 microseconds."""
    seconds = cost_of_a_turn()
    print(f"two nested ranges, no profiler: {seconds * 1e9:,.0f} ns per turn; {seconds / 0.1:.5%} of a block of 0.1 s")
    return 0 if seconds < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
