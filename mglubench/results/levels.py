"""What all cases of a run have in common, and how each stands against the others.

Most of a change between two runs of the same code is the machine's and hits every case alike. The level of a run is
the median over its variants of how far each is from where it usually is (the median over a variant's cases), so that
one variant that changed, with however many cases, does not move it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mglubench.results.companions import Rounds, companions

FloatArray = npt.NDArray[np.float64]

# With two variants, half of what one of them does would be the level.
LEAST_VARIANTS = 3


def levels(latencies: Sequence[Mapping[str, float]], variants: Mapping[str, str]) -> FloatArray | None:
    """The level of each run, log; ``None`` where too few variants were measured to tell one.

    Args:
        latencies: a run each: logarithms by case. variants: of each case.
    """
    names = list(variants)
    table = np.array([[run.get(name, np.nan) for name in names] for run in latencies])
    if not table.size or np.isnan(table).all(axis=0).any():
        return None
    away = table - np.nanmedian(table, axis=0)
    columns = {
        variant: [n for n, name in enumerate(names) if variants[name] == variant] for variant in variants.values()
    }
    found = []
    for run in away:
        of_variants = [np.nanmedian(run[own]) for own in columns.values() if not np.isnan(run[own]).all()]
        if len(of_variants) < LEAST_VARIANTS:
            return None
        found.append(float(np.median(of_variants)))
    return np.array(found)


@dataclass(frozen=True, slots=True)
class Apart:
    """How far runs of the same code differ, log: each case against its companions, and the level of a run."""

    cases: Mapping[str, float]
    level: float


def apart(
    latencies: Sequence[Mapping[str, float]], rounds: Sequence[Mapping[str, Rounds]], variants: Mapping[str, str]
) -> Apart | None:
    """The standard deviations between runs; ``None`` where there are too few runs or variants.

    Args:
        latencies, variants: as for :func:`levels`. rounds: of each case in each run; a case without any is left out.
    """
    shared = levels(latencies, variants) if len(latencies) > 1 else None
    if shared is None:
        return None
    beside = companions(rounds, variants, [0] * len(rounds))
    cases = {
        against.name(key): against.deviation for key, found in beside.items() for against in (found.both, *found.each)
    }
    return Apart(cases, float(shared.std(ddof=1)))
