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
from mglubench.executors.local import LocalSession
from mglubench.executors.session import Session
from mglubench.kernels.cuda_build import Target, build_all
from mglubench.kernels.on_device import gpu_of
from mglubench.kernels.tuning import Choice, Gpu, forced, remember
from mglubench.system.limits import affinity
from mglubench.system.plain_text import words_of
from mglubench.variants.cuda_kernels import CudaVariant, job_of
from mglubench.variants.registry import get_variant

MARGIN = 0.01

TuneRow = dict[str, str | int | float | dict[str, int] | None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate: its median in nanoseconds, or why it has none."""

    choice: Choice
    median_ns: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search is going to do: the case, its GPU, the candidates (the rule first), the libraries to build."""

    case: Case
    gpu: Gpu
    choices: Sequence[Choice]
    targets: Sequence[Target]

    @property
    def steps(self) -> int:
        """Builds and trials."""
        return len(self.targets) + len(self.choices)


def tunable(name: str) -> CudaVariant:
    """The variant of this name; raises :class:`UsageError` if it has no launch choices."""
    variant = get_variant(name)
    if not isinstance(variant, CudaVariant):
        raise UsageError(f"variant {name!r} has no launch choices to tune; the CUDA kernels have")
    return variant


def plan_search(case: Case) -> Search:
    """What to try for a case on its device.

    Raises:
        UsageError: the variant cannot run there or cannot compute this case.
    """
    variant, gpu = tunable(case.variant), gpu_of(case.device)
    if reason := variant.why_unavailable("cuda") or variant.why_refused(case):
        raise UsageError(f"{case.variant}: {reason}")
    choices = variant.kernel.candidates(job_of(variant, case), gpu)
    targets = [variant.kernel.target(gpu.arch, case.nm, case.dtype, choice) for choice in choices]
    return Search(case, gpu, choices, list(dict.fromkeys(targets)))


def tune_case(planned: Search, seconds: float, finished: Callable[[str], None] = lambda step: None) -> TuneRow:
    """Build and try every candidate, remember the best, and say what was found.

    Args:
        seconds: of sampling per candidate. finished: told of each step when it is done.

    Raises:
        UnavailableError: every candidate failed.
    """
    case, gpu = planned.case, planned.gpu
    for target, _ in build_all(planned.targets, affinity()):
        finished(f"build {target.label}")
    session = LocalSession()
    try:
        trials = search(session, case, gpu, seconds, lambda trial: finished(f"{case.key} {trial.choice}"))
    finally:
        session.close()
    best = keep(case, gpu, trials)
    rule = next(trial for trial in trials if trial.choice == planned.choices[0])
    return {
        "case": case.key,
        "gpu": gpu.name,
        **best.choice.to_dict(),
        "choice": str(best.choice),
        "median_us": (best.median_ns or 0.0) / 1e3,
        "rule_us": None if rule.median_ns is None else round(rule.median_ns / 1e3, 2),
        "tried": len(trials),
        "failed": sum(trial.median_ns is None for trial in trials),
    }


def search(
    session: Session, case: Case, gpu: Gpu, seconds: float, finished: Callable[[Trial], None] = lambda trial: None
) -> list[Trial]:
    """Try every candidate for ``case`` in ``session`` (in this process), best first, failures last."""
    variant = tunable(case.variant)
    trials = []
    for choice in variant.kernel.candidates(job_of(variant, case), gpu):
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
        return Trial(choice, None, words_of(error))
    return Trial(choice, median(samples)) if samples else Trial(choice, None, "clocks were too low")
