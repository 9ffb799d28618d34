"""Search launch choices on the GPU at hand, through the session that sweeps use, and remember the best.

Each candidate is built, checked against float64 and sampled like any case; one that fails takes no part. The medians
are of one short session, so the winner of a near tie is a coin toss: a candidate replaces the built-in rule only where
it is faster by more than ``MARGIN``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from mglubench.cases.case import Case
from mglubench.errors import CaseError, UnavailableError, UsageError
from mglubench.executors.session import Session
from mglubench.kernels.cuda_heuristics import Gpu, candidates
from mglubench.kernels.tuning import Choice, forced, remember
from mglubench.variants.cuda_kernels import CudaKernel, job_of
from mglubench.variants.registry import get_variant

MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate: its median in nanoseconds, or why it has none."""

    choice: Choice
    median_ns: float | None
    reason: str = ""


def tunable(name: str) -> CudaKernel:
    """The variant of this name; raises :class:`UsageError` if it has no launch choices."""
    variant = get_variant(name)
    if not isinstance(variant, CudaKernel):
        raise UsageError(f"variant {name!r} has no launch choices to tune; the CUDA kernels have")
    return variant


def search(
    session: Session, case: Case, gpu: Gpu, seconds: float, finished: Callable[[Trial], None] = lambda trial: None
) -> list[Trial]:
    """Try every candidate for ``case`` in ``session`` (in this process), best first, failures last."""
    trials = []
    for choice in candidates(job_of(tunable(case.variant), case), gpu):
        with forced(choice):
            trial = _try(session, case, choice, seconds)
        trials.append(trial)
        finished(trial)
    rule = trials[0]
    return sorted(trials, key=lambda trial: _rank(trial, rule))


def keep(case: Case, gpu: Gpu, trials: Sequence[Trial]) -> Trial:
    """Remember the first of sorted trials.

    Raises:
        UnavailableError: every candidate failed; the message holds the first reason.
    """
    best = trials[0]
    if best.median_ns is None:
        raise UnavailableError(f"no launch choice of {case.variant} works here: {best.reason}")
    remember(gpu.name, job_of(tunable(case.variant), case), best.choice, best.median_ns)
    return best


def _rank(trial: Trial, rule: Trial) -> float:
    if trial.median_ns is None:
        return float("inf")
    return trial.median_ns * (1 - MARGIN) if trial is rule else trial.median_ns


def _try(session: Session, case: Case, choice: Choice, seconds: float) -> Trial:
    try:
        session.prepare(case)
        samples = session.sample(case, seconds, 1000).samples
        session.finish(case)
    except CaseError as error:
        session.abandon(case)
        return Trial(choice, None, str(error))
    return Trial(choice, median(samples)) if samples else Trial(choice, None, "clocks were too low")
