"""The table of kernels held against their pins; what counts as a regression is in ``kernels/against_pins.py``."""

from __future__ import annotations

from mglubench.kernels.against_pins import FACTS, AgainstPins, FactChange, Fate, Held
from mglubench.report.table import VARIANT, Column, Row, Table, named, prose, text


def pins_table(against: AgainstPins) -> Table:
    """One line per kernel that is not as it was pinned, the worst first."""
    rows = [held_row(held) for held in against.held if held.fate != Fate.SAME]
    return Table("Against the pins", _COLUMNS, rows, pins_notes(against))


def held_row(held: Held) -> dict[str, object]:
    """A kernel as plain values, for tables and JSON."""
    return {
        "fate": str(held.fate),
        **held.key._asdict(),
        "reason": held.reason,
        "changes": [
            {
                "fact": change.fact,
                "before": change.before,
                "now": change.now,
                "worse": change.worse,
                "regression": change.regression,
            }
            for change in held.changes
        ],
        "words": "; ".join(filter(None, [held.reason, *map(_words, held.changes)])),
    }


def pins_notes(against: AgainstPins) -> list[str]:
    """How many kernels met what, and with which compiler."""
    counted = ", ".join(f"{count} {fate}" for fate, count in against.counts().items())
    left_out = f"; {against.left_out} pinned ones were not looked at" * bool(against.left_out)
    return [f"{len(against.held)} kernels: {counted or 'none'}; compiler {against.compiler}{left_out}"]


def _words(change: FactChange) -> str:
    ends = ("-" if value is None else f"{value:.6g}" for value in (change.before, change.now))
    return f"{FACTS[change.fact].title} {' -> '.join(ends)}"


def _nm(row: Row) -> str:
    return str(row["nm"] or "")


_COLUMNS = (
    named("fate", "verdict"),
    VARIANT,
    named("arch"),
    Column("nm", "nm", _nm, spare=0),
    named("dtype"),
    Column("kernel", "kernel", text("kernel"), text=True, spare=1),
    prose("words", "what is different"),
)
