"""Does the saving survive fewer bits? MGLU over the fastest GLU of the same format, per nm, beside the floor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from mglubench.cases.case import Case, Setting
from mglubench.cases.vocabulary import SAME
from mglubench.layer.declared import declare
from mglubench.report.table import Column, Row, Table, amount, figure, missing, number, ratio, text, times

SAVING = (
    Column("weights", "weights", text("weights"), text=True),
    Column("nm", "nm", lambda row: str(row["nm"])),
    Column("variant", "fastest MGLU", text("variant"), text=True),
    Column("glu", "fastest GLU", text("glu"), text=True),
    Column("vs_glu", "x GLU", ratio("vs_glu")),
    Column("floor", "by bytes", lambda row: times(amount(row, "floor"))),
    Column("kept", "of that", number("kept", ".0%")),
    Column("share_of_ceiling", "of ceiling", number("share_of_ceiling", ".0%")),
    Column("quantisation_error", "format's error", number("quantisation_error", ".1e")),
)


def saving_tables(settings: Iterable[tuple[Setting, list[Row]]]) -> list[Table]:
    """One table for all settings that differ in weights alone, where some of them have a format.

    Args:
        settings: with the rows of their layers that were measured.
    """
    groups: dict[Setting, list[tuple[Setting, list[Row]]]] = {}
    for setting, rows in settings:
        groups.setdefault(dataclasses.replace(setting, weights=SAME), []).append((setting, rows))
    return [
        _table(shared, found)
        for shared, group in groups.items()
        if any(setting.weights != SAME for setting, _ in group)
        and (found := [row for setting, rows in group for row in _lines(setting, rows)])
    ]


def _table(shared: Setting, rows: list[Row]) -> Table:
    notes = [
        "by bytes: a GLU's over an MGLU's, bits of weights with their scales, masks, x and y, which is what a kernel "
        "that only memory holds up would reach over such a GLU; of that: what was reached",
        "format's error: of y by quantising alone, relative to the weights as they were; no kernel's, whose error is "
        "held against what is stored",
    ]
    return Table(f"Does the saving survive: {shared.title()}", SAVING, rows, notes)


def _lines(setting: Setting, rows: list[Row]) -> list[Row]:
    """The fastest MGLU of each nm over the fastest GLU of the same format."""
    fastest: dict[int, Row] = {}
    for row in rows:
        nm = int(amount(row, "nm"))
        if row["layer"] == "mglu" and not missing(row.get("vs_glu")):
            fastest[nm] = min(row, fastest.get(nm, row), key=lambda one: amount(one, "latency_us"))
    return [_line(setting, nm, row) for nm, row in sorted(fastest.items())]


def _line(setting: Setting, nm: int, row: Row) -> Row:
    case = Case.from_dict({**setting.to_dict(), "nm": nm})
    floor = declare("glu", case).total / declare("mglu", case).total
    ratios = {name: row.get(name) for name in ("vs_glu", "vs_glu_low", "vs_glu_high", "share_of_ceiling")}
    return {
        "weights": setting.dtype if setting.weights == SAME else setting.weights,
        "nm": nm,
        "variant": row["variant"],
        "glu": row["fastest_glu"],
        **ratios,
        "floor": floor,
        "kept": (figure(row, "vs_glu") or 0.0) / floor,
        "quantisation_error": row.get("quantisation_error"),
    }
