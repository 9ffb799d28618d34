"""A prepared case: its buffers as they were handed out, its launch, and how one run of it is judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mglubench.errors import CaseError
from mglubench.hardware.cpu_readings import CpuReading
from mglubench.layer.block import bound_of, reference_of, scale_of
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.layer.rounding import Bound
from mglubench.layer.tolerance import TOLERANCES
from mglubench.measure.check import Check, compare
from mglubench.measure.timers import Launch, Timer
from mglubench.status import Status
from mglubench.variants.base import Variant

if TYPE_CHECKING:
    import torch

    # y on the host, and which of its elements hold what they were spoiled with.
    Output = tuple[torch.Tensor, torch.Tensor]

# How long a launch that returned without its output is waited for, to say whether it came later.
LATE_SECONDS = 0.2
# A launch that takes so long is not run once more for its last check: what the last block timed is checked.
SLOW_SECONDS = 0.05
# Elements that are judged one by one; of more, the first tokens are.
JUDGED_ELEMENTS = 1 << 22


class Buffers:
    """x and y of one problem, held apart from the problem, so that a variant that swaps them is seen."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._x, self._y = problem.x, problem.y
        self._places = self._x.data_ptr(), self._y.data_ptr()
        self._loaded: torch.Tensor | None = None
        self._poison: torch.Tensor | None = None

    def load(self, x: torch.Tensor, *, poison_with_nan: bool) -> None:
        """Put ``x`` in place and spoil y: with NaN, or with plausible numbers, each of them wrong.

        A launch that computes only where it finds NaN passes the one and fails the other.
        """
        self._x.copy_(x)
        if poison_with_nan:
            self._y.fill_(float("nan"))
        else:
            # What was NaN for good reason must be another number too, or nobody would notice that it was not written.
            self._y.nan_to_num_().mul_(2).add_(1)
        self._loaded, self._poison = x, self._y.clone()

    def output(self) -> Output:
        """y on the host, and which of its elements hold what they were spoiled with."""
        import torch

        assert self._poison is not None
        y = self._y.to("cpu", copy=True)
        bits = {2: torch.int16, 4: torch.int32}[y.element_size()]
        return y, y.view(bits) == self._poison.to("cpu").view(bits)

    def why_tampered(self) -> str | None:
        """What was done to the buffers beside writing y; ``None`` if nothing was."""
        for name, kept in (("x", self._x), ("y", self._y)):
            if getattr(self.problem, name) is not kept:
                return (
                    f"replaced problem.{name} by another tensor; launches read and write the ones that they are given"
                )
        if (self._x.data_ptr(), self._y.data_ptr()) != self._places:
            return "moved x or y to other memory; a launch uses the x and y that it was given"
        if self._loaded is not None:
            here = self._x.to("cpu")
            if count := int(((here != self._loaded) & ~(here.isnan() & self._loaded.isnan())).sum()):
                return f"changed x, {count} element{'s' if count > 1 else ''}"
        return None


@dataclass
class LiveCase:
    """A prepared case.

    Attributes:
        buffers: of the problem itself, then of every further copy that launches take turns over. judge: what outputs
            are compared with. readings: of blocks on a CPU. took: seconds of the last run.
        timed: outputs that the last block of a slow launch left, of the x that the last check takes.
    """

    variant: Variant
    launch: Launch
    judge: InputSet
    buffers: list[Buffers]
    readings: list[CpuReading] = field(default_factory=list)
    took: float = 0.0
    timed: list[Output] = field(default_factory=list)
    _timer: Timer | None = None

    @property
    def timer(self) -> Timer:
        """Takes samples; there once the case is checked."""
        assert self._timer is not None
        return self._timer

    @timer.setter
    def timer(self, timer: Timer) -> None:
        self._timer = timer

    @property
    def problem(self) -> Problem:
        """The problem that the case is checked on."""
        return self.buffers[0].problem

    @property
    def problems(self) -> list[Problem]:
        """The problem, and a replica for every further copy."""
        return [buffers.problem for buffers in self.buffers]

    def run(self, run: Launch, fresh: int, into: list[Buffers] | None = None) -> list[Output]:
        """One run on the fresh-th x, waited for as a user of the current stream would: the outputs of all buffers.

        They are copied at once: what is written after the launch returned does not count.

        Args:
            into: the buffers that ``run`` uses, if not all of the case's.
        """
        used = self.buffers if into is None else into
        for buffers in used:
            buffers.load(self.judge.x(fresh), poison_with_nan=fresh == 0)
        self.wait()
        start = time.perf_counter()
        run()
        self.wait()
        self.took = time.perf_counter() - start
        return [buffers.output() for buffers in used]

    @contextmanager
    def block(self) -> Iterator[None]:
        """Around a block of samples: of a slow launch it is given what the last check takes, and its output is kept."""
        self.timed = []
        slow = self.took >= SLOW_SECONDS and len(self.buffers) == 1 and self.problem.case.device_kind == "cpu"
        if slow:
            self.buffers[0].load(self.judge.x(1), poison_with_nan=False)
        yield
        if slow:
            self.timed = [self.buffers[0].output()]

    def wait(self) -> None:
        """Until the current stream is done: work on another one must not count as finished."""
        import torch

        case = self.problem.case
        if case.device_kind == "cuda":
            torch.cuda.current_stream(torch.device(case.device)).synchronize()

    def judged(self, outputs: list[Output], fresh: int) -> Check:
        """Outputs of a run, those of replicas included, against the reference; what is wrong raises ``wrong``."""
        self.refuse_tampered()
        bound = self._bound(fresh)
        checks = [self._compared(*output, fresh, bound) for output in outputs]
        return checks[0]

    def _bound(self, fresh: int) -> Bound:
        case, layer = self.problem.case, self.variant.layer
        most = max(1, JUDGED_ELEMENTS // case.outputs)
        return bound_of(self.judge, case, layer, self.variant.method_of(case), fresh, most)

    def refuse_tampered(self) -> None:
        """Raise if a launch did more than write y."""
        for buffers in self.buffers:
            if reason := buffers.why_tampered():
                raise CaseError(Status.WRONG, reason)

    def _compared(self, y: torch.Tensor, untouched: torch.Tensor, fresh: int, explained: Bound) -> Check:
        import torch

        case = self.problem.case
        values = y.to(torch.float64).numpy()
        reference = reference_of(self.judge, case, self.variant.layer, fresh)
        if case.activation in self.variant.nan_for_infinity:
            reference = np.where(np.isinf(reference) & np.isnan(values), np.nan, reference)
        check = compare(values, reference, scale_of(self.judge, case, fresh), untouched.numpy(), explained)
        if failure := check.why_wrong(TOLERANCES[case.dtype]):
            late = self._came_late(check)
            raise CaseError(Status.WRONG, f"{failure}{late} ({'before' if fresh == 0 else 'after'} the timed loop)")
        return check

    def _came_late(self, check: Check) -> str:
        """Whether what was missing when the launch returned is there a moment later."""
        if not check.unwritten:
            return ""
        end = time.perf_counter() + LATE_SECONDS
        while time.perf_counter() < end:
            if not bool(self.buffers[0].output()[1].any()):
                return " when the launch returned; they were written later, by another thread or stream"
            time.sleep(LATE_SECONDS / 20)
        return ""
