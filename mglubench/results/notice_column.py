"""What a reader must know of figures beside their intervals, of all rows of a frame at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mglubench.measure.rotation import why_not_cold
from mglubench.notices import (
    Notice,
    drift,
    drift_notice,
    few_notices,
    heaps_notice,
    noise_notice,
    noisy,
    plain_notices,
    starved_notice,
)
from mglubench.results.run_samples import RunSamples
from mglubench.results.turns import Wholes

if TYPE_CHECKING:
    import pandas as pd


def notice_column(frame: pd.DataFrame, samples: RunSamples, rows: Wholes) -> list[str | None]:
    """The words of every row's notices, by semicolons; ``None`` but for these rows."""
    known = samples.known
    trend, times = np.full(len(frame), np.nan), samples.heaps()
    for alike, medians in known.by_rounds():
        trend[alike] = drift(medians)
    with np.errstate(over="ignore"):
        noise = np.sinh(known.half)
    loud = samples.in_rounds & (noisy(noise) | ~np.isnan(trend) | ~np.isnan(times))
    own = frame.iloc[rows]
    timers = [
        timer if mode == "cold" else "" for timer, mode in zip(own["timer"].tolist(), own["mode"].tolist(), strict=True)
    ]
    counts = (samples.sizes, known.rounds, known.draws, samples.in_rounds, loud)
    facts = zip(rows.tolist(), timers, own["discarded"].tolist(), *(n[rows].tolist() for n in counts), strict=True)
    said: list[str | None] = [None] * len(frame)
    for row, timer, discarded, size, rounds, draws, in_rounds, is_loud in facts:
        before, behind = _of_counts(timer, size, discarded, (rounds, draws) if in_rounds else None)
        if is_loud:
            before += _words(noise_notice(float(noise[row])))
            behind += _words([*drift_notice(float(trend[row])), *heaps_notice(float(times[row]))])
        said[row] = "; ".join(before + behind)
    return said


@lru_cache(maxsize=4096)
def _of_counts(
    timer: str, samples: int, discarded: int, rounds: tuple[int, int] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is said before and behind the noise; without rounds there is nothing behind it."""
    before = plain_notices(samples, why_not_cold(timer))
    behind = [*few_notices(*rounds), *starved_notice(samples, discarded)] if rounds else []
    return _words(before), _words(behind)


def _words(found: Iterable[Notice]) -> tuple[str, ...]:
    return tuple(notice.words for notice in found)
