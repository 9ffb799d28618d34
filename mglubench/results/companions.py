"""A case against its companions: those that the machine treats alike, round by round.

What a machine does to a layer from run to run (memory that is slower today, cores that are shared) it does to other
layers like it in the same rounds, and hardly to layers that wait for something else. So a latency is held, in the
rounds that both have, against groups of other cases: each other variant, and the other cases of its own. The groups
against which it differs least from run to run are its companions. Two are needed: against one alone nobody could say
which of the two has changed. Against both together it moves least from run to run, and that is judged; what only one of
them says is no change of the case.

Where memory has two speeds, layers follow it each by a share of its own. So a case is held against as much of its
companions' moves as it follows in rounds of the same side (:func:`share_followed`), and whether it changed itself is
asked of rounds in which the companions took the same time on both sides (:func:`in_like_rounds`).
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
# Rounds are alike if companions differ by less, log; sides are if so much of their rounds is.
LIKE, OVERLAP = 0.1, 0.5
# Nobody follows more or less than that.
LEAST_SHARE, MOST_SHARE = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class Against:
    """A case in all runs against one group of others; NaN for a run that cannot tell.

    Attributes:
        deviation: of ``values``, within sides. alike: change of the case between two sides in rounds in which the
            others took the same time, log; NaN where there are too few.
    """

    group: str
    values: FloatArray
    deviation: float
    alike: float = np.nan

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
    moves = [_moves(run, key, groups, usual) for run in runs]
    by_side = [
        np.hstack([own for own, at in zip(moves, sides, strict=True) if at == side]) for side in dict.fromkeys(sides)
    ]
    share = share_followed(by_side)
    values = np.array([np.median(own - share * other) if len(own) >= LEAST_ROUNDS else np.nan for own, other in moves])
    squares, free = 0.0, 0
    for side in dict.fromkeys(sides):
        told = values[np.array(sides) == side]
        told = told[np.isfinite(told)]
        if not len(told):
            return None
        squares, free = squares + float(((told - told.mean()) ** 2).sum()), free + len(told) - 1
    alike = in_like_rounds(*by_side) if len(by_side) == 2 else np.nan
    return Against(name, values, float(np.sqrt(squares / free)) if free else 0.0, alike) if free else None


def _moves(
    run: Mapping[str, Rounds], key: str, groups: Sequence[Sequence[str]], usual: Mapping[str, float]
) -> FloatArray:
    """How far a case, and groups of others (their mean), are from where they usually are, [2, R]."""
    told = []
    for number, value in run.get(key, {}).items():
        moved = [[run[other][number] - usual[other] for other in own if number in run.get(other, {})] for own in groups]
        if all(moved):
            told.append((value - usual[key], float(np.mean([np.median(of_group) for of_group in moved]))))
    return np.array(told).reshape(-1, 2).T


def share_followed(sides: Sequence[FloatArray]) -> float:
    """How much of what its companions do a case does too, by rounds of the same side; 1 where they tell nothing.

    The ratio of the standard deviations, as far as rounds agree: noise in the companions does not make it smaller, as
    it would a least-squares slope. Of moves larger than any within a side nothing is known: then it is 1, too.

    Args:
        sides: moves of the case and of its companions, [2, R] each.
    """
    told = [side for side in sides if side.shape[1]]
    if not told or np.ptp([np.median(side[1]) for side in told]) > max(np.ptp(side[1]) for side in told):
        return 1.0
    own, others = np.hstack([side - side.mean(axis=1, keepdims=True) for side in told])
    squares, of_others, both = (own**2).sum(), (others**2).sum(), (own * others).sum()
    if both <= 0:
        return 1.0
    agree = both**2 / (squares * of_others)
    return float(np.clip(1 + agree * (np.sqrt(squares / of_others) - 1), LEAST_SHARE, MOST_SHARE))


def in_like_rounds(base: FloatArray, new: FloatArray) -> float:
    """The change of a case where its companions took the same time; NaN where too few rounds of both sides are alike.

    Args:
        base, new: moves of the case and of its companions, [2, R] each.
    """
    bins = [np.floor(side[1] / LIKE + 0.5) for side in (base, new)]
    common = np.intersect1d(*bins)
    shares = np.array([min(np.mean(side == one) for side in bins) for one in common])
    if shares.sum() < OVERLAP:
        return np.nan
    changes = [np.median(new[0, bins[1] == one]) - np.median(base[0, bins[0] == one]) for one in common]
    return float(np.average(changes, weights=shares))


def _usual(runs: Sequence[Rounds]) -> float:
    return float(np.median([np.median(list(rounds.values())) for rounds in runs])) if runs else np.nan
