"""Check every variant against float64 at shapes that are awkward on purpose."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mglubench.cases.case import Case
from mglubench.cases.config import build_spec
from mglubench.cases.vocabulary import SAME, device_kind, device_name
from mglubench.errors import CaseError
from mglubench.executors.session import Session
from mglubench.measure.measurement import Errors
from mglubench.results.checked import Checked
from mglubench.status import Status
from mglubench.system.plain_text import words_of
from mglubench.variants.registry import asked_plugins, check_names, get_variant, has_masks, variants

# (h, d): one element, odd sizes below a vector, tails in both directions, and a size that enters every unrolled body.
SHAPES = ((1, 1), (7, 5), (64, 3001), (1000, 33), (2048, 264))
MASKS = ("bernoulli:0.5", "ones", "zeros", "bernoulli:0.1", "bernoulli:0.5")
BATCHES = (1, 3, 9, 8, 2, 12, 5, 16, 4, 14, 10)
# At this shape x and y lie an element off the alignment that a kernel could hope for.
UNALIGNED = (1000, 33)
# At this shape some of W and x are NaN or infinite, under every activation; see kernels_cuda/README.md.
NON_FINITE = (200, 41)
NON_FINITE_BATCHES = (5, 1, 9)
# Rows that one multiprocessor works on at a time, at most: 4 resident blocks of 16 (flash_mglu_bulk.cu, blocks_per_sm).
# With more rows than that on all of them, blocks that stay have to take a second tile.
ROWS_PER_MULTIPROCESSOR = 64
MULTIPROCESSORS = 8  # of a CPU, and of a GPU that does not say


@dataclass(frozen=True, slots=True)
class KernelPath:
    """A shape, batch and place in the list of nm that enter a path of a kernel that turns could miss."""

    h: int
    d: int
    batch: int
    nm_at: int


def kernel_paths(multiprocessors: int) -> tuple[KernelPath, ...]:
    """More tiles than a GPU takes at a time, by wide loads and by single ones; the most sums there can be."""
    many = ROWS_PER_MULTIPROCESSOR * multiprocessors + 21
    return KernelPath(584, many, 11, 1), KernelPath(331, many, 9, 0), KernelPath(1032, 40, 13, -1)


def verify_cases(
    names: Sequence[str],
    nms: Sequence[int],
    dtypes: Sequence[str],
    device: str,
    multiprocessors: int = MULTIPROCESSORS,
) -> list[Case]:
    """Every variant at every shape and dtype, and at every nm; batch, activation and masks take turns."""
    cases = []
    for name in names:
        activations = get_variant(name).activations
        turns = zip(
            itertools.cycle(nms), itertools.cycle(BATCHES), itertools.cycle(activations), itertools.cycle(MASKS)
        )
        wanted = [(shape, dtype) for dtype in dtypes for shape in SHAPES]
        wanted += [(SHAPES[-1], dtypes[k % len(dtypes)]) for k in range(len(nms)) if has_masks(name)]
        for ((h, d), dtype), (nm, batch, activation, mask) in zip(wanted, turns, strict=False):
            case = Case(name, h, d, batch=batch, dtype=dtype, activation=activation, mode="hot", device=device)
            cases.append(dataclasses.replace(case, nm=nm, mask=mask) if has_masks(name) else case)
        for k, path in enumerate(kernel_paths(multiprocessors)):
            dtype = dtypes[-1 - k % min(2, len(dtypes))]
            activation = activations[k % len(activations)]
            case = Case(name, path.h, path.d, 0, path.batch, dtype, activation, "none", "hot", device)
            nm = nms[path.nm_at % len(nms)]
            cases.append(dataclasses.replace(case, nm=nm, mask="bernoulli:0.5") if has_masks(name) else case)
        for k, (activation, batch) in enumerate(zip(activations, NON_FINITE_BATCHES, strict=False)):
            case = Case(name, *NON_FINITE, 0, batch, dtypes[k % len(dtypes)], activation, "none", "hot", device)
            nm = nms[k % len(nms)]
            cases.append(dataclasses.replace(case, nm=nm, mask="bernoulli:0.5") if has_masks(name) else case)
    return list(dict.fromkeys(each for place, case in enumerate(cases) for each in _in_formats(case, place)))


def _in_formats(case: Case, place: int) -> Iterator[Case]:
    """The case as it is where the variant knows such weights, and in one of the formats that it knows, in turns."""
    formats = get_variant(case.variant).formats
    coded = [name for name in formats if name != SAME]
    if SAME in formats:
        yield case
    if coded:
        yield dataclasses.replace(case, weights=coded[place % len(coded)])


def default_nms(name: str, device: str = "cpu") -> tuple[int, ...]:
    """Every nm that the variant takes on the device."""
    return get_variant(name).accepted_nm(device_kind(device))


def verify(session: Session, cases: Sequence[Case]) -> Iterator[Checked]:
    """Check each case on two independent inputs; a failure is a verdict, never an exception."""
    for case in cases:
        try:
            shape = case.h, case.d
            before = session.prepare(case, offset=int(shape == UNALIGNED), non_finite=shape == NON_FINITE)
            after = session.finish(case)
        except CaseError as error:
            yield Checked(case, error.status, words_of(error), None)
        else:
            yield Checked(case, Status.OK, "", max(_relative(before.check), _relative(after.check)))


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
    check_names(spec.variants)
    here_all = tuple(dict.fromkeys([*(name for name in variants() if name not in absent), *asked_plugins()]))
    multiprocessors = machine.devices[here].sm_count or MULTIPROCESSORS
    cases: list[Case] = []
    for name in spec.resolve(device=here, dtype="float32", variants=here_all).variants:
        accepted = spec.nm if nm else default_nms(name, here)
        cases += verify_cases([name], accepted, spec.dtype, here, multiprocessors)
    return cases
