"""The tables of repeats: what runs of the same sweep say of the same figure, and how far to believe one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from mglubench.errors import MglubenchError
from mglubench.hardware.devices import Device
from mglubench.hardware.doctor import ABSENT, BAD, GOOD, Finding
from mglubench.report.table import NM, Column, Row, Table, amount, named, number, text, times
from mglubench.results.judgement import LATENCY
from mglubench.results.repeat_notebook import remembered
from mglubench.results.repeats import RUNS_A_SIDE, Figure, Repeats, Summary, summary


def _deviation(row: Row) -> str:
    value, low, high = (100 * amount(row, f"deviation{end}") for end in ("", "_low", "_high"))
    return f"{value:.2f} [{low:.1f}, {high:.1f}]"


OVER = {"vs_glu": "x fastest GLU", "vs_naive": "x naive", "vs_printed": "x Algorithm 2", LATENCY: "latency us"}
_COLUMNS = (
    named("label", "variant"),
    NM,
)
_SPREAD = (
    Column("deviation", "sd %", _deviation),
    Column("covered", "covered", lambda row: f"{row['covered']} of {row['intervals']}"),
    Column("visible_1", "sees %", number("visible_1", ".1f", 100)),
)


def repeat_tables(repeats: Repeats) -> list[Table]:
    """Ratios, then latencies, a table for each setting; what they have in common last. 80 columns wide."""
    tables = [
        _table(repeats.runs, what, figures)
        for kind in (repeats.ratios, repeats.latencies)
        for (_, what), figures in _groups(kind).items()
    ]
    rows = [
        {"what": what, **summary_row(found)}
        for what, figures in (("ratios", repeats.ratios), ("latencies", repeats.latencies))
        if (found := summary(figures))
    ]
    return [*tables, _summary_table(repeats, rows)] if rows else tables


def figure_row(figure: Figure) -> dict[str, object]:
    """A figure as plain values, for tables and JSON."""
    values = asdict(figure)
    visible = values.pop("visible")
    setting = values.pop("setting")
    return {
        **values,
        "setting": {name: value for name, value in setting.items() if name not in ("variant", "nm", "mask")},
        "bases": list(figure.bases),
        **{f"visible_{runs}": visible[runs] for runs in RUNS_A_SIDE},
    }


def summary_row(found: Summary) -> dict[str, object]:
    """A summary as plain values, for tables and JSON."""
    values = asdict(found)
    visible = values.pop("visible")
    return {
        **values,
        "largest_of": found.largest_of.name,
        **{f"visible_{runs}": visible[runs] for runs in RUNS_A_SIDE},
    }


def repeat_lines(devices: Sequence[Device]) -> list[str]:
    """For the heading of a run: how far runs differ on its devices, where that is known."""
    lines = []
    for name in dict.fromkeys(device.name for device in devices):
        try:
            known = remembered(name)
        except MglubenchError:
            # An optional line: whoever asks for the table itself is told that it is damaged.
            continue
        lines += [f"repeat: {known.words()}"] if known else []
    return lines


def repeat_finding(devices: Sequence[str]) -> Finding:
    """For the doctor: what repeats have found of the devices of this machine, by the names that they report."""
    try:
        known = {name: found for name in dict.fromkeys(devices) if (found := remembered(name))}
    except MglubenchError as error:
        return Finding("repeat", BAD, str(error))
    if not known:
        return Finding("repeat", ABSENT, "how far runs differ on this machine is not known", "mglubench repeat")
    several = len(known) > 1
    return Finding("repeat", GOOD, "; ".join(f"{name}: " * several + f.words() for name, f in known.items()))


def _groups(figures: Sequence[Figure]) -> dict[tuple[str, str], list[Figure]]:
    groups: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((figure.setting.title(), figure.what), []).append(figure)
    return groups


def _table(runs: int, what: str, figures: Sequence[Figure]) -> Table:
    several = len({figure.mask for figure in figures if figure.nm}) > 1
    rows = [
        {**figure_row(f), "label": f"{f.variant} {f.mask}" if several and f.nm else f.variant}
        for f in sorted(figures, key=lambda f: (f.nm, f.mask))
    ]
    shown = number("value", ",.1f") if what == LATENCY else lambda row: times(amount(row, "value"))
    columns = (*_COLUMNS, Column("value", OVER[what] if what == LATENCY else "ratio", shown, spare=0), *_SPREAD)
    notes = [_absent(runs, figures)] if any(f.runs < runs for f in figures) else []
    bases = list(dict.fromkeys(base for f in figures for base in f.bases))
    if bases:
        notes.insert(0, f"over {', '.join(bases)}" + (", whichever was fastest in a run" if len(bases) > 1 else ""))
    return Table(f"{OVER[what]} in {runs} runs: {figures[0].setting.title()}", columns, rows, notes)


def _absent(runs: int, figures: Sequence[Figure]) -> str:
    few = [f for f in figures if f.runs < runs]
    words = ", ".join(f"{f.variant}{f' nm={f.nm}' if f.nm else ''} {f.runs}" for f in few[:4])
    return f"from fewer runs, which failed or where a case was its own baseline: {words}" + ", ..." * (len(few) > 4)


def _summary_table(repeats: Repeats, rows: list[dict[str, object]]) -> Table:
    columns = (
        named("what", "of all"),
        Column("median", "sd %, median", number("median", ".2f", 100)),
        Column("largest", "largest", number("largest", ".2f", 100)),
        Column("covered", "covered", lambda row: f"{row['covered']} of {row['intervals']}"),
        Column("narrow", "too narrow", text("narrow")),
        Column("visible_1", "sees %", number("visible_1", ".1f", 100)),
    )
    notes = [
        "sd: standard deviation between runs, log, in hundredths; [ ]: its own 95 % interval",
        "covered: printed 95 % intervals that hold the median over all runs"
        + "".join(f"; {_coverage(row)}" for row in rows[:1]),
        "too narrow: printed intervals of less than half the width that the sd asks for",
        "sees: the smallest change that one run a side can see (5 % false alarms for the job, 80 % power); "
        "three runs a side see about 0.58 of it, five 0.45",
    ]
    return Table(f"What {repeats.runs} runs have in common", columns, rows, notes)


def _coverage(row: Row) -> str:
    if not row["intervals"]:
        return "no interval was printed"
    share = amount(row, "covered") / amount(row, "intervals")
    low, high = (amount(row, f"coverage_{end}") for end in ("low", "high"))
    return f"{row['what']}: {share:.0%}, [{low:.0%}, {high:.0%}] if all were independent"
