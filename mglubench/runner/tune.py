"""Search launch choices on the GPU or CPU at hand, and remember the best.

On a GPU each candidate is built, checked against float64 and sampled like any case, through the session that sweeps
use; on a CPU all read the same copies of a layer in turns (:mod:`~mglubench.runner.cpu_search`). One that fails takes
no part. The medians are of one short session, so the winner of a near tie is a coin toss: a candidate replaces the
built-in rule only where it is faster by more than ``MARGIN``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from mglubench.cases.case import Case
from mglubench.errors import CaseError, UnavailableError, UsageError
from mglubench.executors.local import LocalSession
from mglubench.executors.session import Session
from mglubench.kernels.cpu_choice import CpuKernel, chip_here
from mglubench.kernels.cuda_build import Target, build_all
from mglubench.kernels.cuda_kernel import CudaKernel
from mglubench.kernels.on_device import gpu_of
from mglubench.kernels.tuning import Chip, Choice, Found, Gpu, Job, forced, remember
from mglubench.runner.cpu_search import search_on_cpu
from mglubench.system.limits import affinity
from mglubench.system.plain_text import words_of
from mglubench.variants.registry import get_variant, variants

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
    """What a search is going to do: the case, its chip, the candidates (the rule first), the libraries to build."""

    case: Case
    chip: Chip
    choices: Sequence[Choice]
    targets: Sequence[Target]

    @property
    def steps(self) -> int:
        """Builds and trials."""
        return len(self.targets) + len(self.choices)


def tunable(name: str) -> CpuKernel | CudaKernel:
    """The kernel of the variant of this name; raises :class:`UsageError` if it has no launch choices."""
    kernel = getattr(get_variant(name), "kernel", None)
    if not isinstance(kernel, CpuKernel | CudaKernel):
        able = ", ".join(sorted(name for name, known in variants().items() if hasattr(known, "kernel")))
        raise UsageError(f"variant {name!r} has no launch choices to tune; those of {able} can be tuned")
    return kernel


def plan_search(case: Case) -> Search:
    """What to try for a case on its device.

    Raises:
        UsageError: the variant cannot run there or cannot compute this case.
    """
    kernel, variant = tunable(case.variant), get_variant(case.variant)
    if reason := variant.why_unavailable(case.device_kind) or variant.why_refused(case):
        raise UsageError(f"{case.variant}: {reason}")
    job = _job(kernel, case)
    if isinstance(kernel, CpuKernel):
        if case.mode != "cold":
            raise UsageError(f"mode {case.mode} is not tuned for on a CPU; its choices are for cold weights")
        chip = chip_here()
        return Search(case, chip, kernel.candidates(job, chip), ())
    gpu = gpu_of(case.device)
    choices = kernel.candidates(job, gpu)
    targets = [kernel.target(gpu.arch, case.nm, case.dtype, choice) for choice in choices]
    return Search(case, gpu, choices, list(dict.fromkeys(targets)))


def tune_case(planned: Search, seconds: float, finished: Callable[[str], None] = lambda step: None) -> TuneRow:
    """Build and try every candidate, remember the best, and say what was found.

    Args:
        seconds: of sampling per candidate. finished: told of each step when it is done.

    Raises:
        UnavailableError: every candidate failed.
    """
    case, chip = planned.case, planned.chip
    for target, _ in build_all(planned.targets, affinity()):
        finished(f"build {target.label}")
    trials = _trials(planned, seconds, finished)
    best = keep(case, chip, trials)
    rule = next(trial for trial in trials if trial.choice == planned.choices[0])
    return {
        "case": case.key,
        "gpu": chip.name,
        **best.choice.to_dict(),
        "choice": str(best.choice),
        "median_us": (best.median_ns or 0.0) / 1e3,
        "rule_us": None if rule.median_ns is None else round(rule.median_ns / 1e3, 2),
        "tried": len(trials),
        "failed": sum(trial.median_ns is None for trial in trials),
    }


def _trials(planned: Search, seconds: float, finished: Callable[[str], None]) -> list[Trial]:
    case, kernel = planned.case, tunable(planned.case.variant)
    if isinstance(kernel, CpuKernel):
        done = search_on_cpu(
            kernel, _job(kernel, case), planned.choices, seconds, lambda c: finished(f"{case.key} {c}")
        )
        return _sorted([_trial(found) for found in done])
    session = LocalSession()
    try:
        gpu = gpu_of(case.device)
        return search(session, case, gpu, seconds, lambda trial: finished(f"{case.key} {trial.choice}"))
    finally:
        session.close()


def search(
    session: Session, case: Case, gpu: Gpu, seconds: float, finished: Callable[[Trial], None] = lambda trial: None
) -> list[Trial]:
    """Try every candidate for ``case`` in ``session`` (in this process), best first, failures last."""
    kernel = tunable(case.variant)
    assert isinstance(kernel, CudaKernel)
    trials = []
    for choice in kernel.candidates(_job(kernel, case), gpu):
        with forced(choice):
            trial = _try(session, case, choice, seconds)
        trials.append(trial)
        finished(trial)
    return _sorted(trials)


def keep(case: Case, chip: Chip, trials: Sequence[Trial]) -> Trial:
    """Remember the first of sorted trials.

    Raises:
        UnavailableError: every candidate failed; the message holds the first reason.
    """
    best, kernel = trials[0], tunable(case.variant)
    if best.median_ns is None:
        raise UnavailableError(f"no launch choice of {case.variant} works here: {best.reason}")
    remember(chip.name, _job(kernel, case), best.choice, best.median_ns)
    if isinstance(kernel, CpuKernel):
        kernel.forget()
    return best


def _job(kernel: CpuKernel | CudaKernel, case: Case) -> Job:
    """What the launch choice for a case depends on."""
    return kernel.job(case.h, case.d, case.nm, case.batch, case.dtype)


def _trial(found: Found) -> Trial:
    if math.isinf(found.median_ns):
        return Trial(found.choice, None, "its result is not that of the others")
    return Trial(found.choice, found.median_ns)


def _sorted(trials: Sequence[Trial]) -> list[Trial]:
    """Best first; the first of them, which is the present choice, wins a near tie."""
    return sorted(trials, key=lambda trial: _rank(trial, trials[0]))


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
