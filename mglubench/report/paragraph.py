"""What a run says, in one paragraph: what was measured, the fastest of each kind, whether MGLU pays, and the limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mglubench.cases.case import Setting
from mglubench.comparison import NAIVE_FAMILY
from mglubench.hardware.cpu import MIB, Cpu
from mglubench.hardware.devices import devices_in
from mglubench.report.fastest import fastest
from mglubench.report.html.answer import FASTER, SLOWER, Answer, answers, limits
from mglubench.report.html.lead import lead_of
from mglubench.report.table import Row, amount, times
from mglubench.results.readings import shown_rows

if TYPE_CHECKING:
    import pandas as pd

KINDS = {"lu": "layer without a gate", "glu": "GLU", "naive": "naive MGLU", "mglu": "MGLU"}
_SAID = {FASTER: "yes", SLOWER: "no"}


def paragraph(frame: pd.DataFrame) -> str:
    """A paragraph on a derived frame with samples; empty where nothing was measured."""
    rows = list(shown_rows(frame))
    if not rows:
        return ""
    found = answers(rows)
    settings = dict.fromkeys(Setting.of(row) for row in rows)
    sentences = [_measured(frame, rows, len(settings))]
    sentences += list(_fastest(rows)) if len(settings) == 1 else []
    sentences += [_pays(found), *_limits(frame, rows, found)]
    return " ".join(sentences)


def _measured(frame: pd.DataFrame, rows: Sequence[Row], settings: int) -> str:
    run = frame.attrs.get("run", {})
    names = " and ".join(device.name for device in devices_in(run.get("environment", {})).values())
    what = f"{len(rows)} layers in {settings} setting{'s' * (settings != 1)}"
    if run.get("fake"):
        return f"Nothing was measured; what a fake run makes up of {what}:"
    return f"Measured: {what}{f' on {names}' if names else ''}."


def _fastest(rows: Sequence[Row]) -> Iterator[str]:
    """The fastest of each kind of layer."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault("naive" if row["variant"] in NAIVE_FAMILY else str(row["layer"]), []).append(row)
    told = [f"{words} {_named(fastest(groups[kind]))}" for kind, words in KINDS.items() if kind in groups]
    yield f"Fastest of each kind: {', '.join(told)}."


def _named(row: Row) -> str:
    masks = f" nm={row['nm']}" if row["nm"] else ""
    return f"{row['variant']}{masks} ({amount(row, 'latency_us'):,.1f} us)"


def _pays(found: Sequence[Answer]) -> str:
    """The answer, with its interval where there is one."""
    if len(found) != 1:
        return f"Does MGLU pay here? {lead_of(found).sentence}"
    (answer,) = found
    low, high = answer.low, answer.high
    interval = f" [{times(low)}, {times(high)}]" if low == low else ""
    word = _SAID.get(answer.verdict, "that is open")
    return f"Does MGLU pay here? {word.capitalize()}: {lead_of(found).sentence.removesuffix('.')}{interval}."


def _limits(frame: pd.DataFrame, rows: Sequence[Row], found: Sequence[Answer]) -> Iterator[str]:
    """What limits belief: intervals, samples and notices of the answer's rows, and caches that hold the weights."""
    told = [words.rstrip(".") for answer in found[:1] for words in limits(answer)] if len(found) == 1 else []
    environment = frame.attrs.get("run", {}).get("environment", {})
    cache = Cpu.from_dict(environment.get("cpu")).cache_bytes or 0
    small = [row for row in rows if row["mode"] == "hot" and amount(row, "bytes_weights") <= cache]
    if small and cache:
        told.append(
            f"{len(small)} of them are hot, and their weights fit the last-level cache of {cache / MIB:,.0f} MiB"
        )
    if told:
        yield f"What limits belief: {'; '.join(told)}."
