"""The answer that a page begins with: the fastest MGLU against the fastest GLU, and what limits belief in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mglubench.cases.case import Setting
from mglubench.cases.vocabulary import CEILINGS
from mglubench.estimates import variance_shares
from mglubench.report.fastest import fastest, series_of_row
from mglubench.report.table import Row, amount, figure, missing
from mglubench.report.tables import row_notices

FASTER, SLOWER, OPEN = "faster", "slower", "open"
# A part of the variance that is worth a sentence.
LARGE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """The fastest MGLU of a setting over its fastest GLU.

    Attributes:
        own, base: their rows. by_nm: the fastest MGLU of each nm. candidates: how many MGLU rows it is the fastest of.
        value, low, high: how many times as fast, with the 95 % interval; NaN where too little is known for one.
        bytes_alone: the factor that the declared bytes alone would give.
    """

    setting: Setting
    own: Row
    base: Row
    by_nm: Sequence[Row]
    candidates: int
    value: float
    low: float
    high: float
    bytes_alone: float

    @property
    def verdict(self) -> str:
        """``faster`` or ``slower`` where the whole interval says so, ``open`` elsewhere."""
        return FASTER if self.low > 1 else SLOWER if self.high < 1 else OPEN


def answers(rows: Iterable[Row]) -> list[Answer]:
    """One answer per setting that has an MGLU and a GLU in one comparison set, in measuring order."""
    settings: dict[Setting, list[Row]] = {}
    for row in rows:
        if row["status"] == "ok" and row["layer"] not in CEILINGS:
            settings.setdefault(Setting.of(row), []).append(row)
    found = (_answer(setting, own) for setting, own in settings.items())
    return [answer for answer in found if answer is not None]


def _answer(setting: Setting, rows: list[Row]) -> Answer | None:
    mine = [row for row in rows if row["layer"] == "mglu" and not missing(row["vs_glu"])]
    if not mine:
        return None
    own = fastest(mine)
    glu = (row for row in rows if row["layer"] == "glu" and row["variant"] == own["fastest_glu"])
    base = next((row for row in glu if row["set"] == own["set"]), None)
    if base is None:
        return None
    return Answer(
        setting,
        own,
        base,
        by_nm=[
            fastest(row for row in mine if row["nm"] == nm) for nm in sorted({int(amount(row, "nm")) for row in mine})
        ],
        candidates=len(mine),
        value=amount(own, "vs_glu"),
        low=amount(own, "vs_glu_low"),
        high=amount(own, "vs_glu_high"),
        bytes_alone=amount(base, "bytes_total") / amount(own, "bytes_total"),
    )


def limits(answer: Answer) -> list[str]:
    """Sentences on what limits belief in an answer: its interval, its choice, and what its two rows have on them."""
    found = [_interval(answer), *_choice(answer)]
    for row in (answer.own, answer.base):
        name = f"{row['variant']} nm={row['nm']}" if row["nm"] else str(row["variant"])
        found += [f"{name}: {words}" for words in row_notices(row)]
    return found


def _interval(answer: Answer) -> str:
    rounds, processes = (int(figure(answer.own, name) or 0) for name in ("rounds", "processes"))
    if not math.isfinite(answer.low):
        return f"{rounds} round{'s' * (rounds != 1)}: too few for an interval, so another run may say something else."
    words = f"The interval rests on {rounds} rounds in {processes} process{'es' * (processes != 1)}"
    shares = variance_shares(series_of_row(answer.base), series_of_row(answer.own))
    largest = max(shares, key=shares.__getitem__, default="")
    if not largest or shares[largest] < LARGE_SHARE:
        return f"{words}."
    return f"{words}; {shares[largest]:.0%} of its variance is between {_BETWEEN[largest]}."


_BETWEEN = {"rounds": "rounds", "copies": "copies of the layer at other addresses", "processes": "processes"}


def _choice(answer: Answer) -> list[str]:
    if answer.candidates < 2:
        return []
    return [
        f"It is the fastest of {answer.candidates} MGLU rows, chosen after they were measured: "
        "the choice favours luck, and the interval does not know of it."
    ]


def tally(found: Sequence[Answer]) -> dict[str, int]:
    """How many answers have each verdict."""
    return {word: sum(answer.verdict == word for answer in found) for word in (FASTER, OPEN, SLOWER)}
