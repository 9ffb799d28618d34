"""How long a sweep takes: guessed from its plan, and ever better from what is done of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mglubench.runner.plan import Plan

# Seconds beside sampling that a case takes: inputs, compiling, two checks against float64, in every process.
BESIDE_SAMPLING = 2.0
# The share of the steps after which their pace says more than the guess.
ENOUGH = 0.05


def guessed_seconds(plan: Plan, done: int = 0) -> float:
    """Of the cases that are left; a guess, made before anything is known of the machine. Nothing for a fake run."""
    if plan.machine.fake:
        return 0.0
    return (len(plan.cases) - done) * (plan.spec.measure.max_seconds + BESIDE_SAMPLING)


class TimeLeft:
    """Counts the steps of a sweep: preparations, blocks of samples and checks of its cases.

    Args:
        plan: what is measured. done: cases that are stored already.
    """

    def __init__(self, plan: Plan, done: int) -> None:
        measure = plan.spec.measure
        a_case = measure.rounds + 2 * min(measure.processes, measure.rounds)
        self._all = max(1, (len(plan.cases) - done) * a_case)
        self._guess = guessed_seconds(plan, done)
        self._steps = 0

    def step(self) -> None:
        """One more step begins."""
        self._steps += 1

    def seconds(self, elapsed: float) -> float:
        """What is left after so many seconds."""
        share = min(1.0, self._steps / self._all)
        if share < ENOUGH:
            return max(0.0, self._guess - elapsed)
        return elapsed * (1 - share) / share
