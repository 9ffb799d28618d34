"""A stored run as people want it: tidy, with the speed-ups and shares that are derived from its rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.results import frame as stored
from mglubench.results.metrics import derive

if TYPE_CHECKING:
    import pandas as pd

# One object a row; who does not ask for samples gets figures alone.
RAW = ["samples_ns", "rounds_of"]


def load(run: str | Path, *, samples: bool = False, layers: Collection[str] = ()) -> pd.DataFrame:
    """Load a run folder.

    Args:
        run: the folder. samples: keep the columns ``samples_ns`` (raw latencies of every case, in nanoseconds) and
            ``rounds_of``. layers: only cases of these layers (``read``, ``product``, ``lu``, ``glu``, ``mglu``), held
            against the baselines of the whole run; all if empty.

    Returns:
        One row per case, in measuring order; units are in the names of columns. What a row holds is said in
        :func:`mglubench.results.frame.load`, the speed-ups and shares beside it in :func:`derive`. The header is in
        ``frame.attrs["run"]``.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    found = derive(stored.load(run, samples=True))
    if layers:
        kept = found[found["layer"].isin(list(layers))].reset_index(drop=True)
        kept.attrs = found.attrs
        found = kept
    return found if samples else found.drop(columns=RAW)


def derived(run: str | Path | pd.DataFrame) -> pd.DataFrame:
    """A run's frame with speed-ups and samples: of its folder, or of a frame that was loaded with its samples."""
    if isinstance(run, str | Path):
        return load(run, samples=True)
    return run if "vs_glu" in run.columns else derive(run)
