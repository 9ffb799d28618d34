"""Which trials an experiment is made of, in which order, and the learning rate that an arm's sweep chooses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from mglubench.experiments.arms import ARMS, Arm, staged
from mglubench.experiments.setting import Setting
from mglubench.experiments.trial import SWEEP_SEED, Row, Trial, row_key, row_of
from mglubench.status import Status

# What a dense model's blocks become, and with how many masks.
STARTS, CONVERTED = ("fresh", "larger", "sum"), ("nm1", "nm4")
DENSE = "swiglu"
Choice = tuple[float, float]


def candidates(setting: Setting, arm: Arm) -> list[Choice]:
    """Learning rates, with those of mask logits over them where there are some."""
    return list(product(setting.rates, setting.mask_factors if arm.has_logits else (1.0,)))


def sweeps(setting: Setting, arms: Iterable[Arm]) -> list[Trial]:
    """The trials that choose; none where there is nothing to choose from."""
    return [
        Trial("sweep", arm.name, rate, factor, SWEEP_SEED, setting.sweep_steps)
        for arm in arms
        if len(candidates(setting, arm)) > 1
        for rate, factor in candidates(setting, arm)
    ]


def chosen(setting: Setting, arm: Arm, rows: Mapping[str, Row]) -> Choice | None:
    """The candidate with the lowest validation loss at the end of its trial; ``None`` if none got there."""
    given = candidates(setting, arm)
    if len(given) == 1:
        return given[0]
    ends = {
        (row.rate, row.factor): row.loss
        for row in rows.values()
        if row.phase == "sweep" and row.arm == arm.name and row.step == setting.sweep_steps and row.loss is not None
    }
    return min(ends, key=ends.__getitem__) if ends else None


def ablation(setting: Setting, arms: Sequence[Arm], rows: Mapping[str, Row]) -> Iterator[Trial]:
    """Stage by stage: what chooses the rates, then all arms with the first seed, with the second, ...

    Args:
        rows: of the run, which grow meanwhile; an arm for which every rate failed has no further trials.
    """
    for stage in staged(arms):
        yield from sweeps(setting, stage)
        for seed, arm in product(range(setting.seeds), stage):
            if choice := chosen(setting, arm, rows):
                yield Trial("main", arm.name, *choice, seed, setting.steps)


def conversion(setting: Setting, rows: Mapping[str, Row]) -> Iterator[Trial]:
    """Per seed a dense model, the same trained on, and what it is converted to, trained on alike."""
    arm = ARMS[DENSE]
    yield from sweeps(setting, [arm])
    choice = chosen(setting, arm, rows)
    for seed in range(setting.seeds) if choice else ():
        rate, factor = choice or (0.0, 0.0)
        yield Trial("dense", DENSE, rate, factor, seed, setting.steps)
        ways = [(DENSE, "dense"), *((name, start) for start, name in product(STARTS, CONVERTED))]
        for name, start in ways:
            yield Trial("retrain", name, rate, factor, seed, setting.retrain_steps, start)


def planned(experiment: str, setting: Setting, arms: Sequence[Arm], rows: Mapping[str, Row]) -> Iterator[Trial]:
    """The trials of an experiment."""
    return conversion(setting, rows) if experiment == "convert" else ablation(setting, arms, rows)


def expected(experiment: str, setting: Setting, arms: Sequence[Arm], rows: Mapping[str, Row]) -> list[Trial]:
    """All of them, with any rate for arms whose rate is not chosen yet; for counting and estimates of time."""
    open_ends = [row_of(trial, trial.steps, 0, loss=math.inf) for trial in sweeps(setting, arms or [ARMS[DENSE]])]
    return list(planned(experiment, setting, arms, {**{row.key: row for row in open_ends}, **rows}))


def is_over(trial: Trial, rows: Mapping[str, Row]) -> bool:
    """Whether its last row is there, or one that says why there is none."""
    if row_key(trial, trial.steps) in rows:
        return True
    return any(row.status != Status.OK and key.startswith(f"{trial.key} ") for key, row in rows.items())
