"""A case against its companions: those that the machine treats alike, round by round.

What a machine does to a layer from run to run (memory that is slower today, cores that are shared) it does to other
layers like it in the same rounds, and hardly to layers that wait for something else. So a latency is held, in the
rounds that both have, against groups of other cases: each other variant, and the other cases of its own. The groups
against which it differs least from run to run are its companions. Two are needed: against one alone nobody could say
which of the two has changed. Against both together it moves least from run to run, and that is judged; what only one of
them says is no change of the case.
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


@dataclass(frozen=True, slots=True)
class Companions:
    """A case against its companions: ``both`` together, and ``each`` alone."""

    both: Against
    each: Sequence[Against]


def companions(
    runs: Sequence[Mapping[str, Rounds]],
    variants: Mapping[str, str],
    sides: Sequence[int],
    suspects: Collection[str] = (),
    known: Collection[str] = (),
) -> dict[str, Companions]:
    """The companions of each case; a case that has fewer than two is left out.

    Args:
        runs: a run each: the rounds of each case. variants: of each case. sides: number of the side of each run.
        suspects: cases that are thought to have changed: none of them says anything about another.
        known: names of spreads that were measured before; they are taken first, since few runs tell little.
    """
    usual = {key: _usual([run[key] for run in runs if run.get(key)]) for key in variants}
    found: dict[str, Companions] = {}
    for key, own in variants.items():
        doubted = {key, *(suspects if key in suspects else ())}
        groups = {
            variant if variant != own else f"{own}, others": others
            for variant in dict.fromkeys(variants.values())
            if (others := [k for k, v in variants.items() if v == variant and k not in doubted])
        }
        told = [
            against for name, others in groups.items() if (against := _against(key, name, [others], runs, usual, sides))
        ]
        each = sorted(told, key=lambda one: (one.name(key) not in known, one.deviation))[:COMPANIONS]
        if len(each) < COMPANIONS:
            continue
        names = sorted(against.group for against in each)
        both = _against(key, " and ".join(names), [groups[name] for name in names], runs, usual, sides)
        if both is not None:
            found[key] = Companions(both, each)
    return found


def _against(
    key: str,
    name: str,
    groups: Sequence[Sequence[str]],
    runs: Sequence[Mapping[str, Rounds]],
    usual: Mapping[str, float],
    sides: Sequence[int],
) -> Against | None:
    values = np.array([_run_against(run, key, groups, usual) for run in runs])
    squares, free = 0.0, 0
    for side in dict.fromkeys(sides):
        own = values[np.array(sides) == side]
        own = own[np.isfinite(own)]
        if not len(own):
            return None
        squares, free = squares + float(((own - own.mean()) ** 2).sum()), free + len(own) - 1
    return Against(name, values, float(np.sqrt(squares / free)) if free else 0.0) if free else None


def _run_against(
    run: Mapping[str, Rounds], key: str, groups: Sequence[Sequence[str]], usual: Mapping[str, float]
) -> float:
    """The median over rounds of a case's distance from groups, their mean; NaN where they share too few rounds."""
    told = []
    for number, value in run.get(key, {}).items():
        moved = [[run[other][number] - usual[other] for other in own if number in run.get(other, {})] for own in groups]
        if all(moved):
            told.append(value - usual[key] - float(np.mean([np.median(of_group) for of_group in moved])))
    return float(np.median(told)) if len(told) >= LEAST_ROUNDS else np.nan


def _usual(runs: Sequence[Rounds]) -> float:
    return float(np.median([np.median(list(rounds.values())) for rounds in runs])) if runs else np.nan
