"""A stored run as people want it: tidy, with the speed-ups and shares that are derived from its rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.results import frame as stored
from mglubench.results.metrics import derive, derive_from

if TYPE_CHECKING:
    import pandas as pd


def load(run: str | Path, *, samples: bool = False, layers: Collection[str] = ()) -> pd.DataFrame:
    """Load a run folder.

    Args:
        run: the folder. samples: keep the columns ``samples_ns`` (raw latencies of every case, in nanoseconds) and
            ``rounds_of``. layers: only cases of these layers (``read``, ``product``, ``lu``, ``glu``, ``mglu``), held
            against the baselines of the whole run; all if empty.

    Returns:
        One row per case, in measuring order. Columns: ``key``, ``status``, ``reason``; the case (``variant``, ``h``,
        ``d``, ``nm``, ``batch``, ``dtype``, ``activation``, ``mask``, ``mode``, ``device``, ``seed``,
        ``weights``, ``block``); ``layer``;
        ``latency_us`` (median), ``latency_p5_us``, ``latency_p95_us``, ``latency_low_us`` and ``latency_high_us``
        (95 % interval of the median), ``samples``, ``discarded``, ``stop``, ``timer``; ``bytes_weights``,
        ``bytes_masks``, ``bytes_x``, ``bytes_y``, ``bytes_scratch``, ``bytes_total`` and ``flops`` (declared);
        ``gb_per_s`` (declared bytes over the median); ``error_before``, ``error_after`` (relative, against float64);
        where a run has weight formats a column quantisation_error (of the format alone, no kernel's);
        ``overhead_*_s``; ``notes`` (what a case did to its process);
        ``gpu_*`` (clocks, power, temperature where there is a GPU); ``worker_*`` where a fleet measured (host, name
        and UUID of the device, power limit, driver, digest of the package). A case that failed has NaN where a figure
        would be.

        From profilers, joined by key, NaN where there is none: ``dram_bytes_read``, ``dram_bytes_written``,
        ``l2_bytes_read``, ``l2_bytes_written``, ``l2_hit_percent``, ``dram_percent``, ``sm_percent`` (of the chip's
        peak), ``ncu_duration_us``, ``ncu_kernels`` for one run of the case, ``counters_reason`` (why there is none,
        or which are lacking);
        ``nsys_kernel_us`` (all timed kernels), ``nsys_kernels``, ``nsys_gap_us`` (median between kernels),
        ``nsys_launches`` (runs that these are of, if mglubench made them), ``nsys_graphs`` and ``nsys_graph_us`` (CUDA
        graphs that were recorded as one piece, which hides their kernels). None of these durations is a latency: a
        profiler serialises and flushes.

        Derived, set by set: the speed-ups ``vs_glu``, ``vs_naive`` and ``vs_printed``, shares of the ceiling, and more
        that :func:`derive` names.

        The header is in ``frame.attrs["run"]``.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    found = derive_from(*stored.load_with_samples(Path(run), columns=samples))
    if layers:
        kept = found[found["layer"].isin(list(layers))].reset_index(drop=True)
        kept.attrs = found.attrs
        found = kept
    return found


def derived(run: str | Path | pd.DataFrame) -> pd.DataFrame:
    """A run's frame with speed-ups and samples: of its folder, or of a frame that was loaded with its samples."""
    if isinstance(run, str | Path):
        return load(run, samples=True)
    return run if "vs_glu" in run.columns else derive(run)
