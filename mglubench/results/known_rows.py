"""What samples say of many rows at once, by the rule of :mod:`mglubench.spread`: latencies, and ratios between rows.

It is what :mod:`mglubench.estimates` says of each row and each pair by itself; here rows with as many rounds and the
same copies in them are one array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mglubench.results.turns import Floats, Turns, Wholes, in_turn
from mglubench.spread import Part, between_copies, half_width
from mglubench.stats import medians, medians_in_turn, whole_numbers


class Sign(NamedTuple):
    """What rows must share to be computed together.

    Attributes:
        numbers, processes: of the rounds that have samples. copies: as :class:`~mglubench.spread.Part` counts them.
    """

    numbers: tuple[int, ...]
    processes: tuple[int, ...]
    copies: int


@dataclass(frozen=True, slots=True)
class KnownRows:
    """What is known of rows; NaN for one without samples.

    Attributes:
        middle, half: latency and half the width of its interval, log, [rows]. rounds: that have samples. starts: where
            a row's first is in ``medians``, the rounds' medians of all rows in turn, log. variance, at_most: of the
            latency between copies, see :class:`~mglubench.spread.Part`. draws: copies that have samples. sign: of each
            row, its number among ``signs``; -1 without samples.
    """

    middle: Floats
    half: Floats
    rounds: Wholes
    starts: Wholes
    medians: Floats
    variance: Floats
    at_most: Floats
    draws: Wholes
    sign: Wholes
    signs: list[Sign]

    @classmethod
    def of(cls, samples: Floats, turns: Turns) -> KnownRows:
        """Of the samples of all rows, in turn.

        Args:
            turns: of all rows; samples are as many as they say.
        """
        count, rounds = len(turns.per_row), turns.kept
        gaps = [np.full(count, np.nan) for _ in range(4)]
        flat = _Flat(samples, turns) if len(samples) else None
        middle, half, variance, at_most = gaps
        found = cls(
            *(middle, half, rounds, np.cumsum(rounds) - rounds, flat.medians if flat else np.zeros(0)),
            *(variance, at_most, np.zeros(count, np.int64), np.full(count, -1), []),
        )
        for rows, own, cells, sign in flat.alike() if flat else ():
            found._put(rows, own, between_copies(own, cells), cells.shape[-1], sign)
        for row in turns.odd.tolist():
            series = turns.series(row, samples)
            own = series.round_medians
            found.rounds[row] = len(own)
            found.medians[found.starts[row] :][: len(own)] = own
            sign = Sign(tuple(series.round_numbers.tolist()), tuple(series.round_processes.tolist()), 0)
            found._put(np.array([row]), own[None], series.between_copies, series.copy_count, sign)
        return found

    @classmethod
    def joined(cls, parts: Sequence[KnownRows]) -> KnownRows:
        """All of these, one after the other."""
        signs: dict[Sign, int] = {}
        of_rows = []
        for part in parts:
            numbers = np.array([*(signs.setdefault(sign, len(signs)) for sign in part.signs), -1])
            of_rows.append(numbers[part.sign])
        before = np.cumsum([0, *(len(part.medians) for part in parts)])
        starts = np.concatenate([part.starts + shift for part, shift in zip(parts, before[:-1], strict=True)])
        middle, half, rounds, medians, variance, at_most, draws = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("middle", "half", "rounds", "medians", "variance", "at_most", "draws")
        )
        return cls(
            middle, half, rounds, starts, medians, variance, at_most, draws, np.concatenate(of_rows), list(signs)
        )

    def round_medians(self, rows: Wholes, rounds: int) -> Floats:
        """Medians of rows that have as many rounds, [rows, rounds]."""
        found: Floats = self.medians[self.starts[rows, None] + np.arange(rounds)]
        return found

    def by_rounds(self) -> Iterator[tuple[Wholes, Floats]]:
        """Rows with as many rounds: which, and the medians of their rounds."""
        for rounds in np.unique(self.rounds[self.rounds > 0]).tolist():
            rows = np.flatnonzero(self.rounds == rounds)
            yield rows, self.round_medians(rows, rounds)

    def part(self, rows: Wholes, sign: Sign) -> Part:
        """What copies add to the variance of these rows, which have one sign."""
        return Part(self.variance[rows], self.at_most[rows], sign.copies)

    def _put(self, rows: Wholes, own: Floats, part: Part, draws: int, sign: Sign) -> None:
        """What alike rows come to."""
        self.middle[rows] = medians(own)
        self.half[rows], _ = half_width(own, [part], np.array(sign.processes))
        self.variance[rows], self.at_most[rows], self.draws[rows] = part.variance, part.at_most, draws
        sign = sign._replace(copies=part.count)
        if sign not in self.signs:
            self.signs.append(sign)
        self.sign[rows] = self.signs.index(sign)


class _Flat:
    """Samples of many rows as one array of logarithms, and the medians of all rounds and of all copies within them."""

    def __init__(self, samples: Floats, turns: Turns) -> None:
        there = np.flatnonzero(turns.counts)
        counts, of_turn = turns.counts[there], turns.pattern[there]
        self._rounds = turns.kept
        self._processes, self._numbers = turns.processes[there], turns.numbers[there]
        self._patterns = turns.patterns.found
        logs = np.log(samples)
        self.medians = medians_in_turn(logs, counts)
        order = in_turn([pattern.order for pattern in self._patterns], of_turn)
        order += np.repeat(np.cumsum(counts) - counts, counts)
        sizes = [pattern.sizes for pattern in self._patterns]
        widths = whole_numbers(map(len, sizes), len(sizes))[of_turn]
        self._cells = medians_in_turn(logs[order], in_turn(sizes, of_turn))
        self._firsts = np.cumsum(widths) - widths
        self._names = self._numbered_names()[of_turn]

    def _numbered_names(self) -> Wholes:
        """One number for all patterns with the same copies; it is that of the first such pattern."""
        first: dict[bytes, int] = {}
        found = [first.setdefault(pattern.names.tobytes(), number) for number, pattern in enumerate(self._patterns)]
        return np.array(found, dtype=np.int64)

    def alike(self) -> Iterator[tuple[Wholes, Floats, Floats, Sign]]:
        """Rows whose rounds have the same numbers and hold the same copies: which, [rows, R] medians of their rounds,
        [rows, R, C] of their cells, and their sign, copies left out.
        """
        starts = np.cumsum(self._rounds) - self._rounds
        signs = np.stack([self._names, self._processes, self._numbers], axis=1)
        for turns in np.unique(self._rounds[self._rounds > 0]).tolist():
            rows = np.flatnonzero(self._rounds == turns)
            places = starts[rows, None] + np.arange(turns)
            of_rows = signs[places]
            if (of_rows == of_rows[0]).all():
                yield rows, *self._together(places)
                continue
            found: dict[bytes, list[int]] = {}
            for number, sign in enumerate(of_rows):
                found.setdefault(sign.tobytes(), []).append(number)
            for numbers in found.values():
                yield rows[numbers], *self._together(places[numbers])

    def _together(self, places: Wholes) -> tuple[Floats, Floats, Sign]:
        """The medians of alike rounds; the same copy of another process is another draw of addresses."""
        processes = self._processes[places[0]].tolist()
        names = [self._patterns[number].names for number in self._names[places[0]].tolist()]
        of_turn = [[(process, name) for name in turn.tolist()] for process, turn in zip(processes, names, strict=True)]
        columns = {copy: column for column, copy in enumerate(sorted({copy for turn in of_turn for copy in turn}))}
        cells = np.full((*places.shape, len(columns)), np.nan)
        for number, turn in enumerate(of_turn):
            where = self._firsts[places[:, number], None] + np.arange(len(turn))
            cells[:, number, [columns[copy] for copy in turn]] = self._cells[where]
        return self.medians[places], cells, Sign(tuple(self._numbers[places[0]].tolist()), tuple(processes), 0)
