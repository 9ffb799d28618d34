"""The table of ``mglubench inspect --device cpu``; what its rows hold is in ``kernels/cpu_inspect.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mglubench.report.table import NM, VARIANT, Column, Table, named, number

NOTES = (
    "of the main loop, for one token: instructions / weight; bits of a vector; what is put on and read from the stack "
    "in a pass; instructions / weight that apply masks; bytes of W and x read / weight, mask words left out",
    "arch: this machine's processor runs; avx2 (Haswell) and neon (Neoverse N1) are compiled only",
)


def assembly_table(rows: Sequence[dict[str, str | int | float]]) -> Table:
    """One line per kernel."""
    return Table("Compiled CPU kernels", _COLUMNS, list(rows), NOTES)


def _instructions(row: Mapping[str, object]) -> str:
    return _IN_DIGITS(row) if row["status"] == "ok" else str(row["reason"])


def _stack(row: Mapping[str, object]) -> str:
    return f"{row['stack_stores']} / {row['stack_loads']}" if row["status"] == "ok" else "-"


_IN_DIGITS = number("instructions_per_element", ".3f")
_COLUMNS = (
    VARIANT,
    named("arch"),
    NM,
    named("dtype"),
    Column("instructions_per_element", "instr.", _instructions, spare=0),
    Column("vector_bits", "bits", number("vector_bits", ".0f"), spare=1),
    Column("stack_stores", "stack", _stack, spare=2),
    Column("masked_per_element", "masked", number("masked_per_element", ".3f"), spare=4),
    Column("loaded_per_element", "bytes", number("loaded_per_element", ".2f"), spare=3),
    Column("rows", "rows", number("rows", ".0f"), spare=8),
    Column("unroll", "unroll", number("unroll", ".0f"), spare=9),
    Column("ahead", "ahead", number("ahead", ".0f"), spare=9),
)
