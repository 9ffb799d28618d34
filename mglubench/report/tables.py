"""The tables of a run: latency and speed-up, memory, the paper beside ours, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mglubench.cases.case import Setting
from mglubench.cases.vocabulary import CEILINGS, LAYER
from mglubench.comparison import PRINTED as NAIVE_AS_PRINTED
from mglubench.report import paper
from mglubench.report.byte_table import counted, ledger_table
from mglubench.report.fastest import certainly_fastest
from mglubench.report.saving_table import saving_tables
from mglubench.report.stack_table import stack_tables
from mglubench.report.table import (
    NM,
    VARIANT,
    Column,
    Formatter,
    Row,
    Table,
    amount,
    figure,
    missing,
    named,
    number,
    prose,
    ratio,
    times,
)
from mglubench.results.ceilings import ceiling_by_device

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, object]

LATENCY = (
    VARIANT,
    NM,
    Column("latency_us", "latency us", number("latency_us", ",.1f"), spare=0),
    Column("noise", "+-%", number("noise", ".1f", 100), spare=3),
    Column("samples", "samples", lambda row: str(row["samples"] or ""), spare=9),
    Column("vs_naive", "x naive", ratio("vs_naive"), spare=6),
    Column("vs_glu", "x fastest GLU", ratio("vs_glu"), spare=1),
)
PRINTED = Column("vs_printed", "x Algorithm 2", ratio("vs_printed"), spare=7)
MARKS = named("marks", "note")
MEMORY = (
    VARIANT,
    NM,
    Column("bytes_weights", "weights MB", number("bytes_weights", ",.2f", 1e-6), spare=8),
    Column("bytes_masks", "masks MB", number("bytes_masks", ",.2f", 1e-6), spare=7),
    Column("bytes_scratch", "scratch MB", number("bytes_scratch", ",.2f", 1e-6), spare=9),
    Column("bytes_total", "total MB", number("bytes_total", ",.2f", 1e-6), spare=2),
    Column("bits_per_element", "bits/weight", number("bits_per_element", ".1f"), spare=6),
    Column("memory_vs_glu", "saved vs GLU", number("memory_vs_glu", "+.1%"), spare=0),
    Column("gb_per_s", "GB/s", number("gb_per_s", ",.1f"), spare=4),
    Column("share_of_ceiling", "of ceiling", number("share_of_ceiling", ".0%"), spare=1),
)
OWN_READ = Column("share_of_own_read", "of own read", number("share_of_own_read", ".0%"))
FAILED = (
    VARIANT,
    NM,
    named("status"),
    prose("reason"),
    prose("where", "case", spare=1),
)


def run_tables(frame: pd.DataFrame) -> list[Table]:
    """All tables of a derived frame (see :func:`mglubench.results.metrics.derive`), settings in measuring order."""
    tables: list[Table] = []
    ceilings = ceiling_by_device(frame)
    measured = []
    for setting, rows in _settings(frame):
        good = [row for row in rows if row["status"] == "ok" and row["layer"] not in CEILINGS]
        if good:
            measured.append((setting, good))
            own = [_latency_table(setting, good)]
            if counted(good):
                own += [ledger_table(setting, sorted(good, key=_order(good)))]
            else:
                own += [_memory_table(setting, good, ceilings.get(setting.device))]
            beside = _paper_table(setting, good)
            own += [beside] if beside else []
            tables += _noted(own + stack_tables(setting, good), _met(good))
    tables += _noted(saving_tables(measured), _met([row for _, good in measured for row in good]))
    failed = _failed_table(frame)
    return _noted(tables + ([failed] if failed else []), fleet_notes(frame))


def _noted(tables: list[Table], notes: list[str]) -> list[Table]:
    """The same with more under each."""
    return [replace(table, notes=[*table.notes, *notes]) for table in tables]


def fleet_notes(frame: pd.DataFrame) -> list[str]:
    """What must be said under every table of a run that a fleet measured."""
    notes: list[str] = frame.attrs.get("run", {}).get("fleet", {}).get("notes", [])
    return notes


def _met(rows: list[Row]) -> list[str]:
    """That rows of one table are of different devices."""
    devices = dict.fromkeys(str(row["worker_uuid"]) for row in rows if not missing(row.get("worker_uuid")))
    if len(devices) < 2:
        return []
    return [f"rows of {len(devices)} devices meet here ({', '.join(devices)}); each ratio is of one of them"]


def paper_tables(frame: pd.DataFrame, most: int) -> list[Table]:
    """The tables that stand beside the paper's, at most so many."""
    found: list[Table] = []
    for setting, rows in _settings(frame):
        good = [row for row in rows if row["status"] == "ok" and row["layer"] not in CEILINGS]
        beside = _paper_table(setting, good) if good and len(found) < most else None
        found += [beside] if beside else []
    return found


def _settings(frame: pd.DataFrame) -> Iterator[tuple[Setting, list[Row]]]:
    groups: dict[Setting, list[Row]] = {}
    shown: set[str] = set()
    for row in frame.to_dict("records"):
        values = {str(name): value for name, value in row.items()}
        # A baseline that several comparison sets hold is shown as the first of them measured it.
        if values["status"] != "ok" or str(values["key"]) not in shown:
            shown.add(str(values["key"]))
            groups.setdefault(Setting.of(values), []).append(values)
    yield from groups.items()


def _latency_table(setting: Setting, rows: list[Row]) -> Table:
    certain = certainly_fastest(rows)
    marks = _marks(rows)
    ratios = [f"{name}{end}" for name in ("vs_naive", "vs_printed", "vs_glu") for end in ("", "_low", "_high")]
    shown = [
        {
            **_only(row, (*_CASE, *ratios)),
            "marks": " ".join(marks[words] for words in row_notices(row)),
            "noise": (amount(row, "latency_high_us") - amount(row, "latency_low_us")) / 2 / amount(row, "latency_us"),
            "best": any(row is best for best in certain),
        }
        for row in sorted(rows, key=_order(rows))
    ]
    notes = [
        _how_measured(rows),
        *_baselines(rows),
        *(f"{mark}: {words}" for words, mark in marks.items()),
    ]
    printed = (PRINTED,) if any(not missing(row.get("vs_printed")) for row in rows) else ()
    columns = (*LATENCY[:3], *((MARKS,) if marks else ()), *LATENCY[3:-1], *printed, LATENCY[-1])
    return Table(f"Latency and speed-up: {setting.title()}", _with_masks(columns, rows), shown, notes, best="best")


def _how_measured(rows: list[Row]) -> str:
    rounds = max(int(figure(row, "rounds") or 0) for row in rows)
    if rounds < 2:
        return "median of single runs, all of one round: its +-% knows nothing of what another run would give"
    processes = max(int(figure(row, "processes") or 0) for row in rows)
    within = f"{rounds} rounds in {processes} processes" if processes > 1 else f"{rounds} rounds"
    return (
        f"median over {within} of the rounds' medians; +-% and [ ] are 95 % intervals from the spread between rounds "
        "and between copies of the layer, of ratios round by round"
    )


def _baselines(rows: list[Row]) -> list[str]:
    """What the ratios divide by."""
    base = next((row["fastest_glu"] for row in rows if not missing(row["fastest_glu"])), None)
    naive = {str(row["fastest_naive"]): None for row in rows if not missing(row.get("fastest_naive"))}
    notes = [f"fastest GLU here: {base}"] if base else ["no GLU was measured in this setting"]
    if naive:
        notes.append(f"x naive: over the fastest naive layer of the same nm, {' or '.join(naive)}")
    if any(not missing(row.get("vs_printed")) for row in rows):
        notes.append(f"x Algorithm 2: over {NAIVE_AS_PRINTED}, the naive layer as the paper prints it")
    return notes


def row_notices(row: Row) -> list[str]:
    """What a reader must know of a row: of its figures, and of what its case did to the process that it ran in."""
    words, done, again = row.get("notices"), row.get("notes"), row.get("worker_again")
    notices = str(words).split("; ") if not missing(words) else []
    notices += [] if missing(again) else [f"its set was placed a second time: {again}"]
    return notices if missing(done) else [*notices, f"in the worker's process it {done}"]


def _marks(rows: list[Row]) -> dict[str, str]:
    """Letters for what is the matter with some figures, in the order of the table."""
    words = dict.fromkeys(words for row in sorted(rows, key=_order(rows)) for words in row_notices(row))
    return {word: _letter(number) for number, word in enumerate(words)}


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _memory_table(setting: Setting, rows: list[Row], ceiling: float | None) -> Table:
    keys = ("bytes_weights", "bytes_masks", "bytes_x", "bytes_y", "bytes_scratch", "bytes_total")
    derived = ("bits_per_element", "memory_vs_glu", "gb_per_s", "share_of_ceiling", "share_of_own_read")
    least = min((amount(row, "bytes_total") for row in rows if row["layer"] == "mglu"), default=None)
    shown = [
        {
            **_only(row, (*_CASE, *keys, *derived)),
            "best": row["bytes_total"] == least and row["layer"] == "mglu",
            "marks": "a" if _above(row) else "",
        }
        for row in sorted(rows, key=_order(rows))
    ]
    notes = ["bytes are declared: every operand once, x and y in the total; not counters"]
    if ceiling:
        notes.append(f"ceiling: {_ceiling_words(rows, ceiling)}")
    columns: tuple[Column, ...] = MEMORY
    if any(not missing(row.get("share_of_own_read")) for row in rows):
        columns = (*MEMORY, OWN_READ)
        notes.append(f"own read: the best reader of one matrix of {setting.h} x {setting.d}, launch and ramp included")
    if any(map(_above, rows)):
        columns = (*columns, MARKS)
        notes.append("a: more than 100 % of the ceiling: its reader was disturbed, or reads worse than this layer does")
    return Table(f"Memory: {setting.title()}", _with_masks(columns, rows), shown, notes, best="best")


def _above(row: Row) -> bool:
    """Whether its share of the ceiling is shown as more than all of it."""
    return (figure(row, "share_of_ceiling") or 0.0) >= 1.005


def _ceiling_words(rows: list[Row], alone: float) -> str:
    """Where the shares' denominator comes from."""
    if max(int(figure(row, "rounds") or 0) for row in rows) < 2:
        return f"{alone:,.1f} GB/s, the fastest twentieth of this run's cold reads of a large buffer"
    rate = next((found for row in rows if (found := figure(row, "ceiling_gb_per_s"))), alone)
    return f"{rate:,.1f} GB/s, the best reader of a large buffer, in the same rounds as the layers"


def _paper_table(setting: Setting, rows: list[Row]) -> Table | None:
    """Our figures beside the paper's for the cells that its tables have (one token)."""
    if (
        setting.batch != 1
        or setting.block != LAYER
        or not any(cell[1:3] == (setting.h, setting.d) for cell in paper.paper_latencies())
    ):
        return None
    shown: list[Row] = []
    for nm in [0, *_nms(rows)]:
        for row in rows:
            if _nm(row) == nm and row["variant"] in paper.SAME_AS:
                shown.append(_paper_latency_row(setting, row))
        kernels = [row for row in rows if row["layer"] == "mglu" and _nm(row) == nm]
        if kernels:
            best = min(kernels, key=lambda row: amount(row, "latency_us"))
            shown += _paper_ratio_rows(setting, nm, best)
    if not shown:
        return None
    columns = (
        NM,
        prose("figure"),
        Column("ours", "here", _plain("ours"), spare=0),
        *(Column(gpu, f"paper, {gpu}", _plain(gpu)) for gpu in paper.GPUS),
    )
    note = "paper: arXiv 2506.23225, tables 16 to 19, fp16, its own GPUs; here: this run's device and dtype"
    return Table(f"Beside the paper: {setting.title()}", columns, shown, [note])


def _paper_latency_row(setting: Setting, row: Row) -> Row:
    same = paper.SAME_AS[str(row["variant"])]
    figures = {gpu: paper.paper_latency(gpu, setting.h, setting.d, _nm(row), same) for gpu in paper.GPUS}
    return {"nm": row["nm"], "figure": f"{row['variant']}, us", "ours": row["latency_us"], **figures}


def _paper_ratio_rows(setting: Setting, nm: int, best: Row) -> list[Row]:
    rows: list[Row] = []
    for column, over, words in (
        ("vs_printed", paper.NAIVE, "naive MGLU as printed"),
        ("vs_glu", paper.GLU, "the fastest GLU"),
    ):
        figures = {gpu: paper.paper_ratio(gpu, setting.h, setting.d, nm, over) for gpu in paper.GPUS}
        name = f"{best['variant']} over {words}, x (paper: FlashMGLU CUDA)"
        rows.append({"nm": nm, "figure": name, "ours": best[column], **figures})
    return rows


def _failed_table(frame: pd.DataFrame) -> Table | None:
    failed = frame[frame["status"] != "ok"]
    if failed.empty:
        return None
    rows = [
        {**_only(row, ("variant", "nm", "status", "reason")), "where": row["key"]} for row in failed.to_dict("records")
    ]
    return Table(
        "Not measured", FAILED, rows, ["a case without a correct result has no time and takes part in no ratio"]
    )


_CASE = ("variant", "nm", "latency_us", "samples", "status", "mask")


def _only(row: Mapping[Hashable, object] | Row, keys: tuple[str, ...]) -> Record:
    return {key: row.get(key) for key in keys}


def _with_masks(columns: tuple[Column, ...], rows: list[Row]) -> tuple[Column, ...]:
    """A column for the mask distribution, if the setting has more than one."""
    if len({row["mask"] for row in rows if row["layer"] == "mglu"}) < 2:
        return columns
    mask = Column("mask", "mask", lambda row: str(row["mask"]) if row["nm"] else "", text=True, spare=0)
    return columns[0], columns[1], mask, *columns[2:]


def _nms(rows: list[Row]) -> list[int]:
    return sorted({_nm(row) for row in rows if row["layer"] == "mglu"})


def _nm(row: Row) -> int:
    return int(amount(row, "nm"))


def _order(rows: list[Row]) -> Callable[[Row], tuple[int, str, float]]:
    """Layers without masks first, then by nm; inside, slowest first, so that the last line of a block is the best."""
    return lambda row: (_nm(row), str(row["mask"]), -amount(row, "latency_us"))


def _plain(key: str) -> Formatter:
    def show(row: Row) -> str:
        value = figure(row, key)
        if value is None:
            return "-"
        return f"{value:,.1f}" if "us" in str(row["figure"]).split()[-1] else times(value)

    return show
