"""What stands on top of a page of a run: the answer in a sentence, its figure, and what limits belief in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from mglubench.report.html.answer import FASTER, OPEN, SLOWER, Answer, limits, tally
from mglubench.report.table import Row, amount, figure, times
from mglubench.results.rows import Plain

# Entries of the first chart.
MOST_ENTRIES = 16


@dataclass(frozen=True, slots=True)
class Lead:
    """What stands on top of a page.

    Attributes:
        sentence: the answer. figure: its number, large. interval: beside it. verdict: ``faster``, ``slower`` or
            ``open``. facts: what it rests on. limits: what limits belief. forest: title of its chart, if it has one.
        entries: points of that chart. own, base: keys of the rows that the page opens with.
    """

    sentence: str
    figure: str = ""
    interval: str = ""
    verdict: str = OPEN
    facts: Sequence[str] = ()
    limits: Sequence[str] = ()
    forest: str = ""
    entries: list[Plain] = field(default_factory=list)
    own: str = ""
    base: str = ""


def lead_of(found: Sequence[Answer]) -> Lead:
    """The answer of a page, for one setting or for several."""
    if not found:
        return Lead("No MGLU and GLU were measured together in this run, so there is no speed-up to tell.")
    if len(found) == 1:
        return _one(found[0])
    return _several(found)


def _one(answer: Answer) -> Lead:
    entries = [_entry(f"nm={row['nm']}  {row['variant']}", row, answer.base) for row in answer.by_nm]
    return Lead(
        sentence=_sentence(answer),
        figure=f"{times(answer.value)}×",
        interval=f"95 % interval {times(answer.low)} to {times(answer.high)}" if math.isfinite(answer.low) else "",
        verdict=answer.verdict,
        facts=[_reached(answer), answer.setting.title()],
        limits=limits(answer),
        forest="Fastest MGLU by number of masks",
        entries=entries,
        own=str(answer.own["key"]),
        base=str(answer.base["key"]),
    )


def _several(found: Sequence[Answer]) -> Lead:
    counts = tally(found)
    best = max(found, key=lambda answer: answer.value)
    least = min(found, key=lambda answer: answer.value)
    rest = ", ".join(
        words.format(counts[word])
        for word, words in ((SLOWER, "slower in {}"), (OPEN, "not to be told apart in {}"))
        if counts[word]
    )
    ordered = sorted(found, key=lambda answer: answer.value)
    shown = ordered if len(found) <= MOST_ENTRIES else [*ordered[: MOST_ENTRIES // 2], *ordered[-MOST_ENTRIES // 2 :]]
    title = "Fastest MGLU over the fastest GLU, by setting"
    return Lead(
        sentence=f"The fastest MGLU is faster than the fastest GLU in {counts[FASTER]} of {len(found)} settings"
        f"{'; it is ' if rest else ''}{rest}.",
        figure=f"{times(least.value)}× to {times(best.value)}×",
        verdict=FASTER if counts[FASTER] == len(found) else SLOWER if counts[SLOWER] == len(found) else OPEN,
        facts=[
            f"Best, {best.setting.title()}: {_sentence(best)}",
            f"Least, {least.setting.title()}: {_sentence(least)}",
        ],
        limits=[f"Best: {words}" for words in limits(best)],
        forest=title
        if len(shown) == len(found)
        else f"{title}: the {len(shown) // 2} least and the {len(shown) // 2} best",
        entries=[_entry(answer.setting.title(), answer.own, answer.base) for answer in reversed(shown)],
        own=str(best.own["key"]),
        base=str(best.base["key"]),
    )


def _sentence(answer: Answer) -> str:
    masks = "1 mask" if answer.own["nm"] == 1 else f"{answer.own['nm']} masks"
    mine, base = f"{answer.own['variant']} with {masks}", f"the fastest GLU, {answer.base['variant']}"
    if answer.verdict == OPEN and math.isfinite(answer.low):
        return f"{mine} cannot be told from {base}: the interval of their ratio holds 1."
    return f"{mine} is {times(answer.value)} times as fast as {base}."


def _reached(answer: Answer) -> str:
    own, base = (f"{amount(row, 'latency_us') / 1e3:,.3g} ms" for row in (answer.own, answer.base))
    share = figure(answer.own, "share_of_ceiling")
    reached = f" It reads at {share:.0%} of the measured ceiling" if share is not None else ""
    if reached:
        alone = figure(answer.own, "share_of_own_read")
        reached += f", {alone:.0%} of what a read of one such matrix gets." if alone is not None else "."
    return f"{own} against {base}; declared bytes alone would give {times(answer.bytes_alone)}×.{reached}"


def _entry(label: str, own: Row, base: Row) -> Plain:
    bytes_alone = amount(base, "bytes_total") / amount(own, "bytes_total")
    low, high = figure(own, "vs_glu_low"), figure(own, "vs_glu_high")
    return {"label": label, "value": figure(own, "vs_glu"), "low": low, "high": high, "bytes_alone": bytes_alone}
