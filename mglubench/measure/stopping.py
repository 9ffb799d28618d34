"""When a comparison set has been sampled enough: a pure function of what is known so far and the time it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mglubench.notices import ENOUGH_ROUNDS


@dataclass(frozen=True, slots=True)
class SetLimits:
    """How long a comparison set is sampled.

    Attributes:
        target_noise: half the width of every shown ratio's 95 % interval over the ratio, to be reached.
        max_seconds: sampling time of the whole set, settling and eviction included.
        min_rounds: taken whatever the time; intervals need them. max_rounds: hard limit.
    """

    target_noise: float
    max_seconds: float
    min_rounds: int = ENOUGH_ROUNDS
    max_rounds: int = 1000


def set_stop(half_widths: Sequence[float], rounds: int, seconds: float, limits: SetLimits) -> str | None:
    """``target``, ``time`` or ``rounds`` once sampling of a set may end for all of its cases, else ``None``.

    No case leaves a set before the others: the two sides of a ratio are sampled in the same rounds from first to last.

    Args:
        half_widths: of every ratio that the tables show, over the ratio (``Estimate.relative`` of
            :func:`~mglubench.comparison.shown_ratios`); of the latencies where a set has no ratios.
        rounds: finished so far. seconds: sampling time of the set so far.
    """
    if rounds < limits.min_rounds:
        return None
    if half_widths and max(half_widths) <= limits.target_noise:
        return "target"
    if seconds >= limits.max_seconds:
        return "time"
    return "rounds" if rounds >= limits.max_rounds else None
