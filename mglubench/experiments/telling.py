"""How far an experiment is and how long the rest may take, by the cost of steps; a line per trial."""

from __future__ import annotations

import time
from collections.abc import Callable

from mglubench.experiments.setting import Setting
from mglubench.experiments.trial import Trial


class Telling:
    """Tells of an experiment's events in lines, and to a bar how many units of how many are done.

    Args:
        say: prints a line. bar: takes units done, units of all trials, and what is being trained.
    """

    def __init__(self, setting: Setting, say: Callable[[str], None], bar: Callable[[float, float, str], None]) -> None:
        self._setting, self._say, self._bar = setting, say, bar
        self._began, self._all, self._before, self._done, self._taken = time.monotonic(), 0.0, 0.0, 0.0, 0
        self._trials = self._over = 0

    def planned(self, trials: list[Trial], done: list[Trial]) -> None:
        """All trials, and which are over."""
        self._trials, self._over = len(trials), len(done)
        self._all = sum(self._cost(trial) * trial.steps for trial in trials)
        self._done = self._before = sum(self._cost(trial) * trial.steps for trial in done)
        if done:
            self._say(f"{len(done)} of {len(trials)} trials are finished")

    def started(self, trial: Trial) -> None:
        """A trial begins."""
        self._taken = 0
        self._bar(self._done, self._all, trial.key)

    def stepped(self, trial: Trial, step: int) -> None:
        """One step more."""
        self._taken += 1
        self._bar(self._done + self._cost(trial) * self._taken, self._all, trial.key)

    def ended(self, trial: Trial, told: str) -> None:
        """A trial is over: a line with what it came to, and the time that is left."""
        self._over += 1
        self._done += self._cost(trial) * trial.steps
        spent, trained = time.monotonic() - self._began, self._done - self._before
        left = spent / trained * max(0.0, self._all - self._done) if trained else 0.0
        self._say(f"{trial.key}: {told} ({self._over} of {self._trials}; ETA {left / 60:.0f} min)")

    def _cost(self, trial: Trial) -> float:
        """Of a step: FLOPs per token and block, up to a factor."""
        setting = self._setting
        return trial.kind.training_flops * setting.d + 24 * setting.h
