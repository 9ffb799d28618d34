"""A case against its companions: those that the machine treats alike, round by round.

What a machine does to a layer from run to run (memory that is slower today, cores that are shared) it does to other
layers like it in the same rounds, and hardly to layers that wait for something else. So a latency is held, in the
rounds that both have, against groups of other cases: each other variant, and the other cases of its own. The groups
against which it differs least from run to run are its companions. Two are needed: against one alone nobody could say
which of the two has changed, and a change counts only as far as both companions say it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# Logarithms of the medians of a case's rounds, by set and number of the round.
Rounds = Mapping[tuple[int, int], float]

COMPANIONS = 2
LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Against:
    """A case in all runs against one group of others; NaN for a run that cannot tell. ``deviation``: within sides."""

    group: str
    values: FloatArray
    deviation: float

    def name(self, key: str) -> str:
        """Of this spread in a notebook."""
        return f"{key} against {self.group}"


def companions(
    runs: Sequence[Mapping[str, Rounds]],
    variants: Mapping[str, str],
    sides: Sequence[int],
    suspects: Collection[str] = (),
) -> dict[str, list[Against]]:
    """The companions of each case; a case that has fewer than two is left out.

    Args:
        runs: a run each: the rounds of each case. variants: of each case. sides: number of the side of each run.
        suspects: cases that are thought to have changed: none of them says anything about another.
    """
    usual = {key: _usual([run[key] for run in runs if run.get(key)]) for key in variants}
    found: dict[str, list[Against]] = {}
    for key, own in variants.items():
        doubted = {key, *(suspects if key in suspects else ())}
        groups = [
            against
            for variant in dict.fromkeys(variants.values())
            if (others := [k for k, v in variants.items() if v == variant and k not in doubted])
            and (against := _against(key, variant if variant != own else f"{own}, others", others, runs, usual, sides))
        ]
        groups.sort(key=lambda against: against.deviation)
        if len(groups) >= COMPANIONS:
            found[key] = groups[:COMPANIONS]
    return found


def _against(
    key: str,
    group: str,
    others: Sequence[str],
    runs: Sequence[Mapping[str, Rounds]],
    usual: Mapping[str, float],
    sides: Sequence[int],
) -> Against | None:
    values = np.array([_run_against(run, key, others, usual) for run in runs])
    squares, free = 0.0, 0
    for side in dict.fromkeys(sides):
        own = values[np.array(sides) == side]
        own = own[np.isfinite(own)]
        if not len(own):
            return None
        squares, free = squares + float(((own - own.mean()) ** 2).sum()), free + len(own) - 1
    return Against(group, values, float(np.sqrt(squares / free)) if free else 0.0) if free else None


def _run_against(run: Mapping[str, Rounds], key: str, others: Sequence[str], usual: Mapping[str, float]) -> float:
    """The median over rounds of a case's distance from a group; NaN where they share too few rounds."""
    told = []
    for number, value in run.get(key, {}).items():
        group = [run[other][number] - usual[other] for other in others if number in run.get(other, {})]
        if group:
            told.append(value - usual[key] - float(np.median(group)))
    return float(np.median(told)) if len(told) >= LEAST_ROUNDS else np.nan


def _usual(runs: Sequence[Rounds]) -> float:
    return float(np.median([np.median(list(rounds.values())) for rounds in runs])) if runs else np.nan
