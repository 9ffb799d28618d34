"""Two sides of runs, compared: who they are, in what they differ, and a judgement of every figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from mglubench.results.judgement import COMMON, FAIL_ON, LATENCY, FailOn, Judgement, Reason, Verdict, exit_code

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Compared:
    """A run of a side.

    Attributes:
        folder: where it lies. time: when it began, UTC. commit: of the checkout that measured, empty if unknown;
            ``+`` at its end where files were changed. version: of mglubench. devices: names by torch's name for them.
    """

    folder: str
    time: str
    commit: str
    version: str
    devices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Side:
    """What was given as base or new: its name, and the runs that it stands for, oldest first."""

    name: str
    runs: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in which the sides' conditions differ.

    Attributes:
        what: in words (``threads of torch``). base, new: what either side says, in words.
        reason: code of what must not be compared so; ``None`` where it only has to be said (a version, a commit).
        device: that it is about, by its name in the sweep; empty: all of them.
    """

    what: str
    base: str
    new: str
    reason: Reason | None = None
    device: str = ""

    @property
    def words(self) -> str:
        """In one line."""
        on = f" on {self.device}" if self.device else ""
        return f"{self.what}{on}: {self.base} before, {self.new} now"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a comparison found.

    Attributes:
        base, new: the sides. judgements: of every figure, in the order of the cases. common: of what all cases of a
            device have in common, which no case is judged by.
        differences: between the sides' conditions. forced: whether figures were compared in spite of them.
        figures: latencies and ratios that share the rate of false alarms. alarms: that rate, of the whole job: how
            often a comparison of identical code may call any of them slower, and as often faster.
        margin: relative change up to which a figure is called the same. spread: how it is known how far runs differ,
            in one line. fake: whether the runs were never measured.
    """

    base: Side
    new: Side
    judgements: tuple[Judgement, ...]
    common: tuple[Judgement, ...] = ()
    differences: tuple[Difference, ...] = ()
    forced: bool = False
    figures: int = 0
    alarms: float = 0.05
    margin: float = 0.05
    spread: str = ""
    fake: bool = False

    @property
    def all(self) -> tuple[Judgement, ...]:
        """What is common first, then every figure."""
        return (*self.common, *self.judgements)

    @property
    def cases(self) -> dict[str, tuple[Judgement, ...]]:
        """The judgements of each case, by its key; of a case that cannot be compared one alone."""
        found: dict[str, list[Judgement]] = {}
        for judgement in self.judgements:
            found.setdefault(judgement.key, []).append(judgement)
        return {key: tuple(judgements) for key, judgements in found.items()}

    def worst_first(self) -> tuple[Judgement, ...]:
        """All judgements: by verdict, then the largest change first."""
        return tuple(sorted(self.all, key=lambda j: (j.verdict.rank, not j.counts, j.what != COMMON, -j.size)))

    def counts(self) -> dict[Verdict, int]:
        """How many judgements each verdict has; verdicts without one are left out."""
        counted = Counter(judgement.verdict for judgement in self.all)
        return {verdict: counted[verdict] for verdict in Verdict if counted[verdict]}

    def frame(self) -> pd.DataFrame:
        """The judgements as pandas has them, one a row: their fields, and the axes of the case beside its key.

        ``base`` and ``new`` are microseconds of a latency, factors of a ratio; ``change``, ``low``, ``high`` and
        ``visible`` are relative.
        """
        import pandas as pd

        names = [field.name for field in fields(Judgement) if field.name != "case"]
        rows = [{name: getattr(judgement, name) for name in names} for judgement in self.all]
        cases = [{} if judgement.case is None else judgement.case.to_dict() for judgement in self.all]
        return pd.DataFrame([row | case for row, case in zip(rows, cases, strict=True)])

    def exit_code(self, fail_on: frozenset[FailOn] = FAIL_ON) -> int:
        """0 good, 1 a defective case, 3 a regression, 4 something is missing or incomparable."""
        return exit_code(self.all, fail_on)

    @property
    def latencies(self) -> tuple[Judgement, ...]:
        """Those of latencies."""
        return tuple(judgement for judgement in self.judgements if judgement.what == LATENCY)
