"""A stored run as one tidy pandas DataFrame: one row per case, one column per fact, units in the names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mglubench.errors import StoreError, UsageError
from mglubench.measure.stats import lower_rank
from mglubench.results.store import read_header, read_rows

if TYPE_CHECKING:
    import pandas as pd

CASE_COLUMNS = ("variant", "h", "d", "nm", "batch", "dtype", "activation", "mask", "mode", "device", "seed")
LEDGER_PARTS = ("weights", "masks", "x", "y", "scratch", "total")
_FIGURES = ("latency_", "bytes_", "flops", "gb_per_s", "error_", "overhead_")
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("key", "status", "reason", "layer", "stop", "timer"), ""),
    "ledger": {},
    "telemetry": {},
    "checks": [],
    "samples": [],
    "discarded": 0,
    "case": dict.fromkeys(CASE_COLUMNS),
    "overhead": dict.fromkeys(("prepare", "sampling", "check", "isolation")),
}


def load(run: str | Path, *, samples: bool = False) -> pd.DataFrame:
    """Load a run folder.

    Args:
        run: the folder. samples: add a column ``samples_ns`` with the raw latencies of every case.

    Returns:
        One row per case, in measuring order. Columns: ``key``, ``status``, ``reason``; the case (``variant``, ``h``,
        ``d``, ``nm``, ``batch``, ``dtype``, ``activation``, ``mask``, ``mode``, ``device``, ``seed``); ``layer``;
        ``latency_us`` (median), ``latency_p5_us``, ``latency_p95_us``, ``latency_low_us`` and ``latency_high_us``
        (95 % interval of the median), ``samples``, ``discarded``, ``stop``, ``timer``; ``bytes_weights``,
        ``bytes_masks``, ``bytes_x``, ``bytes_y``, ``bytes_scratch``, ``bytes_total`` and ``flops`` (declared);
        ``gb_per_s`` (declared bytes over the median); ``error_before``, ``error_after`` (relative, against float64);
        ``overhead_*_s``; ``gpu_*`` (clocks, power, temperature where there is a GPU). A case that failed has NaN where
        a figure would be. The header is in ``frame.attrs["run"]``.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    import pandas as pd

    folder = Path(run)
    header = read_header(folder)
    records = list(_records(read_rows(folder), samples))
    # Columns are there even if no row has a value for them: a run may be empty, or hold failures alone.
    names = dict.fromkeys((*_record(_NOTHING, samples), *(name for record in records for name in record)))
    # Column by column: several times faster than pandas' own reading of a list of dicts.
    frame = pd.DataFrame({name: [record.get(name) for record in records] for name in names})
    frame = frame.astype({name: float for name in names if name.startswith(_FIGURES)})
    frame.attrs["run"] = {**header, "folder": str(folder)}
    return frame


def export(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as ``.parquet`` or ``.csv``, by the ending; published by a rename.

    Raises:
        UsageError: another ending, or Parquet without pyarrow, or a folder that cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    plain = frame.copy()
    plain.attrs = {}
    try:
        if path.suffix == ".csv":
            plain.to_csv(partial, index=False)
        elif path.suffix == ".parquet":
            plain.to_parquet(partial, index=False)
        else:
            raise UsageError(f"cannot export to {path.name!r}; use a name that ends in .parquet or .csv")
        partial.replace(path)
    except ImportError:
        raise UsageError("Parquet needs pyarrow; install mglubench[reports], or export to .csv") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def _records(rows: Iterable[dict[str, Any]], samples: bool) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        try:
            yield _record(row, samples)
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"row {number} lacks what schema 1 promises: {type(error).__name__}: {error}") from None


def _record(row: dict[str, Any], samples: bool) -> dict[str, Any]:
    case, ledger, checks = row["case"], row["ledger"], row["checks"]
    record: dict[str, Any] = {"key": row["key"], "status": row["status"], "reason": row["reason"]}
    record.update((name, case[name]) for name in CASE_COLUMNS)
    record["layer"] = row.get("layer", "")
    record.update(_latency(row["samples"]))
    record.update(samples=len(row["samples"]), discarded=row["discarded"], stop=row["stop"], timer=row["timer"])
    record.update((f"bytes_{part}", ledger.get(part)) for part in LEDGER_PARTS)
    record["flops"] = ledger.get("flops")
    latency = record["latency_us"]
    record["gb_per_s"] = ledger["total"] / latency / 1e3 if latency and ledger else None
    record["error_before"] = checks[0]["relative"] if checks else None
    record["error_after"] = checks[1]["relative"] if len(checks) > 1 else None
    record.update((f"overhead_{name}_s", value) for name, value in row["overhead"].items())
    record.update((f"gpu_{name}", value) for name, value in row["telemetry"].items() if not isinstance(value, list))
    if row["telemetry"].get("throttle"):
        record["gpu_throttle"] = ", ".join(row["telemetry"]["throttle"])
    if samples:
        record["samples_ns"] = row["samples"]
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
