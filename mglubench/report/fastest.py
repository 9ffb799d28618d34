"""Which layers are the fastest of their kind, and whether that is certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from mglubench.estimates import Series, ratios
from mglubench.measure.measurement import Round, series_of
from mglubench.notices import LEAST_SAMPLES
from mglubench.report.table import Row, amount


def fastest(rows: Iterable[Row]) -> Row:
    """The row of the least latency."""
    return min(rows, key=lambda row: amount(row, "latency_us"))


def series_of_row(row: Row) -> Series:
    """The samples of a frame's row."""
    return series_of(cast(Sequence[float], row["samples_ns"]), cast(Sequence[Round], row["rounds_of"]))


def certainly_fastest(rows: Iterable[Row]) -> list[Row]:
    """The fastest MGLU of each number of masks and kind of them, where no other may be as fast."""
    groups: dict[tuple[object, object], list[Row]] = {}
    for row in rows:
        if row["layer"] == "mglu":
            groups.setdefault((row["nm"], row["mask"]), []).append(row)
    found = ((fastest(group), group) for group in groups.values())
    return [best for best, group in found if _all_slower([row for row in group if row is not best], best)]


def _all_slower(rows: Sequence[Row], best: Row) -> bool:
    """Whether the interval of their ratio, round by round, leaves no doubt; without rounds, whether no samples meet.

    Rows that were loaded without their samples leave it open.
    """
    if any("samples_ns" not in row for row in rows):
        return False
    own = series_of_row(best)
    pairs = []
    for row in rows:
        other = series_of_row(row)
        if min(len(own.samples), len(other.samples)) < LEAST_SAMPLES:
            return False
        if row["rounds_of"] and best["rounds_of"]:
            if row["set"] != best["set"] or not set(own.round_numbers.tolist()) & set(other.round_numbers.tolist()):
                return False
            pairs.append((other, own))
        elif not float(own.samples.max()) < float(other.samples.min()):
            return False
    return all(found.low > 1 for found in ratios(pairs))
