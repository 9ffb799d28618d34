"""A stored run as one tidy pandas DataFrame: one row per case, one column per fact, units in the names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mglubench.cases.axes import AXES
from mglubench.cases.case import Case
from mglubench.errors import UsageError
from mglubench.results.counters import FRAME_COLUMNS, NOT_PROFILED, counter_columns
from mglubench.results.rows import Row, Status
from mglubench.results.store import read_header, read_rows
from mglubench.stats import lower_rank
from mglubench.system.collector import garbage_collection_off

if TYPE_CHECKING:
    import pandas as pd

CASE_COLUMNS = tuple(AXES)
LEDGER_COLUMNS = tuple((part, f"bytes_{part}") for part in ("weights", "masks", "x", "y", "scratch", "total"))
_FIGURES = ("latency_", "bytes_", "flops", "gb_per_s", "error_", "overhead_")
_NOTHING = Row(
    Case("", 1, 1), Status.OK, overhead=dict.fromkeys(("prepare", "sampling", "check", "isolation"), 0.0), key=""
)


def load(run: str | Path, *, samples: bool = False, layers: Collection[str] = ()) -> pd.DataFrame:
    """Load a run folder.

    Args:
        run: the folder. samples: add a column ``samples_ns`` with the raw latencies of every case. layers: only cases
            of these layers (``read``, ``product``, ``lu``, ``glu``, ``mglu``); all if empty.

    Returns:
        One row per case, in measuring order. Columns: ``key``, ``status``, ``reason``; the case (``variant``, ``h``,
        ``d``, ``nm``, ``batch``, ``dtype``, ``activation``, ``mask``, ``mode``, ``device``, ``seed``); ``layer``;
        ``latency_us`` (median), ``latency_p5_us``, ``latency_p95_us``, ``latency_low_us`` and ``latency_high_us``
        (95 % interval of the median), ``samples``, ``discarded``, ``stop``, ``timer``; ``bytes_weights``,
        ``bytes_masks``, ``bytes_x``, ``bytes_y``, ``bytes_scratch``, ``bytes_total`` and ``flops`` (declared);
        ``gb_per_s`` (declared bytes over the median); ``error_before``, ``error_after`` (relative, against float64);
        ``overhead_*_s``; ``gpu_*`` (clocks, power, temperature where there is a GPU). A case that failed has NaN where
        a figure would be.

        From profilers, joined by key, NaN where there is none: ``dram_bytes_read``, ``dram_bytes_written``,
        ``l2_bytes_read``, ``l2_bytes_written``, ``l2_hit_percent``, ``dram_percent``, ``sm_percent`` (of the chip's
        peak), ``ncu_duration_us``, ``ncu_kernels`` for one run of the case, ``counters_reason`` (why there is none,
        or which are lacking);
        ``nsys_kernel_us`` (all timed kernels), ``nsys_kernels``, ``nsys_gap_us`` (median between kernels),
        ``nsys_launches`` (runs that these are of, if mglubench made them), ``nsys_graphs`` and ``nsys_graph_us`` (CUDA
        graphs that were recorded as one piece, which hides their kernels). None of these durations is a latency: a
        profiler serialises and flushes.

        The header is in ``frame.attrs["run"]``.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    import pandas as pd

    folder = Path(run)
    header = read_header(folder)
    # Millions of small objects, none of them garbage: the collector would look at all of them again and again.
    with garbage_collection_off():
        counters = counter_columns(folder)
        rows = (row for row in read_rows(folder) if not layers or row.layer in layers)
        records = [{**record, **counters.get(record["key"], {})} for record in (_record(row, samples) for row in rows)]
        columns = _columns(records, (*_record(_NOTHING, samples), *FRAME_COLUMNS, "counters_reason"))
    names = list(columns)
    frame = pd.DataFrame(columns)
    frame = frame.astype({name: float for name in names if name.startswith(_FIGURES) or name in FRAME_COLUMNS})
    frame["counters_reason"] = frame["counters_reason"].fillna(NOT_PROFILED).astype(str)
    frame.attrs["run"] = {**header, "folder": str(folder)}
    return frame


def export(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as ``.parquet`` or ``.csv``, by the ending; published by a rename.

    Raises:
        UsageError: another ending, or Parquet without pyarrow, or a folder that cannot be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"cannot export to {path.name or str(path)!r}; use a name that ends in .parquet or .csv")
    partial = path.with_name(f".{path.name}.partial")
    plain = frame.copy()
    plain.attrs = {}
    try:
        if path.suffix == ".csv":
            plain.to_csv(partial, index=False)
        else:
            plain.to_parquet(partial, index=False)
        partial.replace(path)
    except ImportError:
        raise UsageError("Parquet needs pyarrow; install mglubench[reports], or export to .csv") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def _columns(records: list[dict[str, Any]], wanted: tuple[str, ...]) -> dict[str, Sequence[Any]]:
    """Columns of all records; ``wanted`` ones are there even if no record has a value for them.

    Several times faster than pandas' own reading of a list of dicts: with every record brought to one order of keys,
    the columns are a transposition.
    """
    blank = dict.fromkeys((*wanted, *(name for names in dict.fromkeys(map(tuple, records)) for name in names)))
    if not records:
        return dict.fromkeys(blank, ())
    return dict(zip(blank, zip(*({**blank, **record}.values() for record in records), strict=True), strict=True))


def _record(row: Row, samples: bool) -> dict[str, Any]:
    ledger, checks = row.ledger, row.checks
    record: dict[str, Any] = {"key": row.key, "status": row.status.value, "reason": row.reason, **row.case.to_dict()}
    record["layer"] = row.layer
    record.update(_latency(row.samples))
    record.update(samples=len(row.samples), discarded=row.discarded, stop=row.stop, timer=row.timer)
    for part, column in LEDGER_COLUMNS:
        record[column] = ledger.get(part)
    record["flops"] = ledger.get("flops")
    latency = record["latency_us"]
    record["gb_per_s"] = ledger["total"] / latency / 1e3 if latency and ledger else None
    record["error_before"] = checks[0]["relative"] if checks else None
    record["error_after"] = checks[1]["relative"] if len(checks) > 1 else None
    for name, value in row.overhead.items():
        record[f"overhead_{name}_s"] = value
    for name, reading in row.telemetry.items():
        record[f"gpu_{name}"] = ", ".join(reading) if isinstance(reading, list) else reading
    if samples:
        record["samples_ns"] = row.samples
    return record


def _latency(samples: list[float]) -> dict[str, float | None]:
    names = ("latency_us", "latency_p5_us", "latency_p95_us", "latency_low_us", "latency_high_us")
    if not samples:
        return dict.fromkeys(names)
    ordered = sorted(samples)
    rank = lower_rank(len(ordered))
    low, high = ordered[rank], ordered[len(ordered) - 1 - rank]
    values = (_quantile(ordered, 0.5), _quantile(ordered, 0.05), _quantile(ordered, 0.95), low, high)
    return {name: value / 1e3 for name, value in zip(names, values, strict=True)}


def _quantile(ordered: list[float], share: float) -> float:
    """Linear interpolation between order statistics, as numpy's default; a hundred thousand calls must be quick."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
