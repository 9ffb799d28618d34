"""Check every variant against float64 at shapes that are awkward on purpose."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mglubench.cases.case import Case
from mglubench.cases.config import build_spec
from mglubench.cases.vocabulary import ACTIVATIONS, device_kind, device_name
from mglubench.errors import CaseError
from mglubench.executors.session import Session
from mglubench.layer.tolerance import TOLERANCES
from mglubench.measure.measurement import Errors
from mglubench.status import Status
from mglubench.variants.registry import get_variant, has_masks, variants

# (h, d): one element, odd sizes below a vector, tails in both directions, and a size that enters every unrolled body.
SHAPES = ((1, 1), (7, 5), (64, 3001), (1000, 33), (2048, 264))
MASKS = ("bernoulli:0.5", "ones", "zeros", "bernoulli:0.1", "bernoulli:0.5")
BATCHES = (1, 3, 8, 2, 5, 16, 4)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one case: ``ok``, ``wrong``, ``unsupported``, ``unavailable`` or another failure."""

    case: Case
    status: Status
    reason: str
    relative: float | None

    @property
    def tolerance(self) -> float:
        """The relative error that would still pass."""
        return TOLERANCES[self.case.dtype].relative

    @property
    def failed(self) -> bool:
        """Whether this is a defect, not an absence."""
        return self.status != Status.OK and not self.status.absent


def verify_cases(names: Sequence[str], nms: Sequence[int], dtypes: Sequence[str], device: str) -> list[Case]:
    """Every variant at every shape and dtype, and at every nm; batch, activation and masks take turns."""
    cases = []
    for name in names:
        turns = zip(
            itertools.cycle(nms), itertools.cycle(BATCHES), itertools.cycle(ACTIVATIONS), itertools.cycle(MASKS)
        )
        wanted = [(shape, dtype) for dtype in dtypes for shape in SHAPES]
        wanted += [(SHAPES[-1], dtypes[k % len(dtypes)]) for k in range(len(nms)) if has_masks(name)]
        for ((h, d), dtype), (nm, batch, activation, mask) in zip(wanted, turns, strict=False):
            case = Case(name, h, d, 0, batch, dtype, activation, "none", "hot", device)
            cases.append(dataclasses.replace(case, nm=nm, mask=mask) if has_masks(name) else case)
    return list(dict.fromkeys(cases))


def default_nms(name: str) -> tuple[int, ...]:
    """Every nm that the variant takes."""
    return tuple(range(1, get_variant(name).nm_max + 1))


def verify(session: Session, cases: Sequence[Case]) -> Iterator[Verdict]:
    """Check each case on two independent inputs; a failure is a verdict, never an exception."""
    for case in cases:
        try:
            before = session.prepare(case)
            after = session.finish(case)
        except CaseError as error:
            yield Verdict(case, error.status, str(error), None)
        else:
            yield Verdict(case, Status.OK, "", max(_relative(before.check), _relative(after.check)))


def _relative(errors: Errors) -> float:
    """A check that passed has a relative error."""
    value = errors["relative"]
    return math.inf if value is None else value


def verify_plan(session: Session, names: str | None, device: str, dtypes: str, nm: str | None) -> list[Case]:
    """The cases for command-line values; without names, every variant that the device can run.

    Raises:
        UsageError: an unknown variant, dtype or device, or an nm outside 1 to 16.
    """
    spec = build_spec({"device": device_name(device), "dtype": dtypes, "nm": nm or "1", "variants": names or "auto"})
    machine = session.describe(spec.device)
    here = next(iter(machine.devices))
    absent = machine.unavailable[device_kind(here)]
    for name in spec.variants:
        if name != "auto":
            get_variant(name.removeprefix("-"))
    here_all = tuple(name for name in variants() if name not in absent)
    cases: list[Case] = []
    for name in spec.resolve(device=here, dtype="float32", variants=here_all).variants:
        cases += verify_cases([name], spec.nm if nm else default_nms(name), spec.dtype, here)
    return cases
