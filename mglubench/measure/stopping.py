"""When a case or a whole set has been sampled enough: pure functions of what is known so far and the time it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.notices import ENOUGH_ROUNDS
from mglubench.stats import relative_half_width

# Slow cases may stop at the time limit with this many samples: enough for a median, not for its 95 % interval, which is
# then given as the whole range.
FEW_SAMPLES = 3
# With independent noise the interval shrinks by sqrt(2) when the samples double. If it has shrunk by less than this,
# the noise comes from elsewhere (drift, neighbours) and more samples will not help.
PLATEAU_SHRINK = 0.95
PLATEAU_SAMPLES = 64


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


def stop_reason(samples: Sequence[float], seconds: float, settings: MeasureSettings) -> str | None:
    """``target``, ``time``, ``samples`` or ``plateau`` once sampling may end, else ``None``.

    Args:
        samples: latencies so far, any unit. seconds: time spent sampling, cache eviction included.
    """
    n = len(samples)
    if n >= settings.max_samples:
        return "samples"
    if n >= settings.min_samples and relative_half_width(samples) <= settings.target_noise:
        return "target"
    if seconds >= settings.max_seconds and n >= min(FEW_SAMPLES, settings.min_samples):
        return "time"
    if n >= max(PLATEAU_SAMPLES, 2 * settings.min_samples) and _plateaued(samples):
        return "plateau"
    return None


def _plateaued(samples: Sequence[float]) -> bool:
    half = relative_half_width(samples[: len(samples) // 2])
    return relative_half_width(samples) > PLATEAU_SHRINK * half
