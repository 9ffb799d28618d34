"""What the commands show, for Python: tables as DataFrames, pictures as matplotlib figures.

A run is its folder, or a frame as :func:`mglubench.load` and :func:`mglubench.sweep` return it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mglubench.cases.config import build_spec
from mglubench.errors import UsageError
from mglubench.hardware.gpus import GpuData, gpu_named
from mglubench.report.predict_launches import predicted_tables
from mglubench.report.table import Table
from mglubench.report.tables import run_tables
from mglubench.results.ceilings import as_measured
from mglubench.results.load_run import derived

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_PREDICTED = ("h", "d", "shape", "model", "nm", "batch", "dtype", "weights")


def tables(run: str | Path | pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of ``mglubench report``, by title.

    Returns:
        Plain values under the keys of the columns (``latency_us``, ``vs_glu``, ``bytes_total``, ...): microseconds,
        bytes, factors and shares. Sentences below a table are in ``frame.attrs["notes"]``.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    return _frames(run_tables(derived(run)))


def plot(run: str | Path | pd.DataFrame) -> Figure:
    """The picture of ``mglubench plot``: microseconds against the number of masks, a panel per setting.

    Raises:
        UsageError: no run there, no case was measured, or matplotlib is not installed.
    """
    try:
        from mglubench.report.plot import latency_plot

        return latency_plot(derived(run))
    except ModuleNotFoundError as error:
        raise _no_charts(error) from None


def roofline(run: str | Path | pd.DataFrame, kind: str = "roofline") -> Figure:
    """The picture of ``mglubench roofline``.

    Args:
        kind: ``roofline`` (GFLOP/s over FLOP per byte) or ``bandwidth`` (microseconds over megabytes).

    Raises:
        UsageError: another kind, no run there, no case was measured, or matplotlib is not installed.
    """
    try:
        from mglubench.report.roofline import draw

        return draw(derived(run), kind)
    except ModuleNotFoundError as error:
        raise _no_charts(error) from None


def predict(
    gpu: str, *, datasheet: bool = False, **options: str | int | Sequence[str] | Sequence[int]
) -> dict[str, pd.DataFrame]:
    """Estimates, nothing measured: the tables of ``mglubench predict``, by title.

    Args:
        gpu: its name, such as ``"RTX 5090"``. datasheet: ignore ceilings that were measured on such a GPU.
        options: ``h``, ``d`` (sizes), ``shape`` (``"2048x8192"``), ``nm``, ``batch``, ``dtype``,
            ``weights``: one value, or a list.

    Returns:
        As :func:`tables`: least microseconds per case, bytes, and the largest possible speed-ups; the launch model of
        each CUDA kernel; both beside the paper's figures.

    Raises:
        UsageError: an unknown GPU or option, a value that cannot be.
    """
    if unknown := sorted(set(options) - set(_PREDICTED)):
        raise UsageError(f"unknown option {unknown[0]!r}; known: {', '.join(_PREDICTED)}")

    def find(name: str) -> GpuData:
        return gpu_named(name) if datasheet else as_measured(gpu_named(name))

    return _frames(predicted_tables(build_spec({**options, "name": "predict"}), find(gpu), find))


def _frames(shown: Iterable[Table]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    frames = {}
    for table in shown:
        frames[table.title] = pd.DataFrame(list(table.rows))
        frames[table.title].attrs["notes"] = list(table.notes)
    return frames


def _no_charts(error: ModuleNotFoundError) -> UsageError:
    return UsageError(f"plots need {error.name}; install mglubench[reports]")
