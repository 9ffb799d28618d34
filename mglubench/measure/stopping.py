"""When a case has been sampled enough: a pure function of the samples so far and the seconds they took."""

from __future__ import annotations

from collections.abc import Sequence

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.stats import relative_half_width

# Slow cases may stop at the time limit with this many samples: enough for a median, not for its 95 % interval, which is
# then given as the whole range.
FEW_SAMPLES = 3
# With independent noise the interval shrinks by sqrt(2) when the samples double. If it has shrunk by less than this,
# the noise comes from elsewhere (drift, neighbours) and more samples will not help.
PLATEAU_SHRINK = 0.95
PLATEAU_SAMPLES = 64


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
