"""What a reader must know of figures beside their intervals, of all rows of a frame at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mglubench.measure.rotation import why_not_cold
from mglubench.notices import (
    NOISY,
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
        loud = noisy(np.sinh(known.half))
    own = frame.iloc[rows]
    timers = np.where(own["mode"].to_numpy() == "cold", own["timer"].to_numpy(dtype=object), "")
    counts = (samples.sizes, known.rounds, known.draws, samples.in_rounds, loud)
    facts = zip(timers.tolist(), own["discarded"].tolist(), *(n[rows].tolist() for n in counts), strict=True)
    said = np.full(len(frame), None, dtype=object)
    said[rows] = [_of_counts(*of_row) for of_row in facts]
    for row in rows[samples.in_rounds[rows] & (~np.isnan(trend[rows]) | ~np.isnan(times[rows]))].tolist():
        more = _words([*drift_notice(float(trend[row])), *heaps_notice(float(times[row]))])
        said[row] = "; ".join([said[row], *more] if said[row] else more)
    found: list[str | None] = said.tolist()
    return found


@lru_cache(maxsize=4096)
def _of_counts(timer: str, discarded: int, samples: int, rounds: int, draws: int, in_rounds: bool, loud: bool) -> str:
    """What is said of a row but for its trend and its heaps; without rounds only what is plain."""
    found = _words(plain_notices(samples, why_not_cold(timer)))
    if in_rounds:
        # How wide an interval is, is not said.
        noise = noise_notice(2 * NOISY if loud else 0)
        found += _words([*noise, *few_notices(rounds, draws), *starved_notice(samples, discarded)])
    return "; ".join(found)


def _words(found: Iterable[Notice]) -> list[str]:
    return [notice.words for notice in found]
