"""A stored run as one tidy pandas DataFrame: one row per case, one column per fact, units in the names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mglubench.cases.axes import AXES, SHARED
from mglubench.cases.vocabulary import CEILINGS
from mglubench.errors import UsageError
from mglubench.results.columns import Columns
from mglubench.results.counters import FRAME_COLUMNS, NOT_PROFILED, counter_columns
from mglubench.results.fleet_record import fleet_words
from mglubench.results.header import Header
from mglubench.results.row_block import Block
from mglubench.results.rows import Status
from mglubench.results.run_samples import RunSamples
from mglubench.results.store import read_blocks, read_header
from mglubench.results.stored_row import StoredRow
from mglubench.system.collector import garbage_collection_off
from mglubench.system.plain_text import plain

if TYPE_CHECKING:
    import pandas as pd

CASE_COLUMNS = tuple(AXES)
_shared = attrgetter(*SHARED)
LONGEST_TEXT = 2000


def load(run: str | Path, *, samples: bool = False, layers: Collection[str] = ()) -> pd.DataFrame:
    """Load a run folder.

    Args:
        run: the folder. samples: add a column ``samples_ns`` with the raw latencies of every case. layers: only cases
            of these layers (``read``, ``product``, ``lu``, ``glu``, ``mglu``); all if empty.

    Returns:
        One row per case, in measuring order, with the columns that :func:`mglubench.load` names, but for
        what is derived from them.

        The header is in ``frame.attrs["run"]``.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """

    folder = Path(run)
    header = read_header(folder)
    blocks: Iterable[Block] = read_blocks(folder)
    if layers:
        blocks = (Block((row for row in block if row.layer in layers), block.patterns) for block in blocks)
    return _frame_of(blocks, folder, header, samples)[0]


def load_with_samples(run: Path, *, columns: bool) -> tuple[pd.DataFrame, RunSamples]:
    """The whole run, and the samples of all rows as arrays; as columns ``samples_ns`` and ``rounds_of`` if asked for.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    return _frame_of(read_blocks(run), run, read_header(run), columns)


def load_first(run: Path, most: int) -> tuple[pd.DataFrame, int]:
    """The first ``most`` settings of a run with all ceilings and failures, samples included; and how many there are.

    Raises:
        UsageError: no run there. StoreError: damaged, or from a newer version.
    """
    header = read_header(run)
    numbers: dict[object, int] = {}

    def shown(row: StoredRow) -> bool:
        number = numbers.setdefault(_shared(row.case), len(numbers))
        return number < most or row.layer in CEILINGS or row.status != Status.OK

    blocks = (Block(filter(shown, block), block.patterns) for block in read_blocks(run))
    frame, _ = _frame_of(blocks, run, header, samples=True)
    return frame, len(numbers)


def _frame_of(blocks: Iterable[Block], folder: Path, header: Header, samples: bool) -> tuple[pd.DataFrame, RunSamples]:
    """Rows of a run, block by block, as a frame, joined to what profilers said of their cases."""
    import pandas as pd

    columns = Columns(samples)
    # Millions of small objects, none of them garbage: the collector would look at all of them again and again.
    with garbage_collection_off():
        columns.read(blocks)
        arrays = columns.arrays()
        frame = pd.DataFrame(arrays | _counters(columns.keys, counter_columns(folder)) | columns.rare())
        words = fleet_words(folder)
        frame.attrs["run"] = {**header, "folder": str(folder)} | ({"fleet": words} if words else {})
        return frame, columns.run_samples()


def _counters(keys: Sequence[str], found: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """The profilers' columns for these cases."""
    gap = np.full(len(keys), np.nan)
    columns: dict[str, object] = dict.fromkeys(FRAME_COLUMNS, gap)
    reasons = [NOT_PROFILED] * len(keys)
    if found:
        said = [found.get(key, {}) for key in keys]
        columns = {name: np.array([row.get(name) for row in said], dtype=np.float64) for name in FRAME_COLUMNS}
        reasons = [str(row.get("counters_reason", NOT_PROFILED)) for row in said]
    return {**columns, "counters_reason": reasons}


def export(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as ``.parquet`` or ``.csv``, by the ending; published by a rename.

    Raises:
        UsageError: another ending, or Parquet without pyarrow, or a folder that cannot be written.
    """
    refuse_other_endings(path)
    partial = path.with_name(f".{path.name}.partial")
    harmless = with_plain_text(frame)
    harmless.attrs = {}
    try:
        if path.suffix == ".csv":
            harmless.to_csv(partial, index=False)
        else:
            harmless.to_parquet(partial, index=False)
        partial.replace(path)
    except ImportError:
        raise UsageError("Parquet needs pyarrow; install mglubench[reports], or export to .csv") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def refuse_other_endings(path: Path) -> None:
    """Raise :class:`UsageError` for a file that is neither ``.parquet`` nor ``.csv``."""
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"cannot export to {path.name or str(path)!r}; use a name that ends in .parquet or .csv")


def with_plain_text(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy whose texts can be printed: what rows hold of strangers' words may steer a terminal or end a line."""
    out = frame.copy()
    for name in out.select_dtypes(exclude=["number", "bool"]):
        values = out[name].tolist()
        texts = {value: plain(value, LONGEST_TEXT) for value in values if isinstance(value, str)}
        if any(text != value for value, text in texts.items()):
            out[name] = [texts[value] if isinstance(value, str) else value for value in values]
    return out
