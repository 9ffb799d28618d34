"""Latencies of rows that know their rounds, by the rule of :mod:`mglubench.spread`, for many rows at once.

The medians of all rounds, and of all copies within rounds, are found by one sort; the intervals of rows with as many
rounds and the same copies in them are computed together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from mglubench.estimates import group_medians
from mglubench.measure.measurement import Round
from mglubench.spread import between_copies, half_width

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

# Copies with numbers from here on are numbered anew, so that one strange number does not make every table as wide.
MANY_COPIES = 256
_count, _process = attrgetter("count"), attrgetter("process")


def latencies_by_rounds(
    samples: Sequence[Sequence[int | float]], rounds: Sequence[Sequence[Round]]
) -> tuple[Floats, Floats, Floats]:
    """The latency of each row and the ends of its 95 % interval, in the samples' unit.

    A row without rounds or samples has NaN. Too few rounds give an interval from 0 to infinity.
    """
    latency, low, high = (np.full(len(samples), np.nan) for _ in range(3))
    numbers = [number for number, turns in enumerate(rounds) if turns and samples[number]]
    if not numbers:
        return latency, low, high
    flat = _Flat([samples[number] for number in numbers], [rounds[number] for number in numbers])
    where = np.array(numbers)
    for rows, medians, cells, processes in flat.alike():
        middle = np.median(medians, axis=1)
        half, _ = half_width(medians, [between_copies(medians, cells)], processes)
        at = where[rows]
        latency[at], low[at], high[at] = np.exp(middle), np.exp(middle - half), np.exp(middle + half)
    return latency, low, high


class _Flat:
    """Samples of many rows as one array of logarithms, with the row, round and copy of each."""

    def __init__(self, samples: Sequence[Sequence[int | float]], rounds: Sequence[Sequence[Round]]) -> None:
        kept = [list(filter(_count, row)) for row in rounds]
        turns = list(chain.from_iterable(kept))
        counts = np.array(list(map(_count, turns)))
        logs = np.log(np.fromiter(chain.from_iterable(samples), dtype=np.float64, count=int(counts.sum())))
        self._rounds = np.array(list(map(len, kept)))
        self._medians = group_medians(logs, np.repeat(np.arange(len(turns)), counts), len(turns))
        # Preparations are numbered alike in all rows; what a row lacks has no median.
        of_turns = (turn.copies or [0] * turn.count for turn in turns)
        copies = np.fromiter(chain.from_iterable(of_turns), dtype=np.int64, count=len(logs))
        if int(copies.max()) >= MANY_COPIES:
            copies = np.unique(copies, return_inverse=True)[1]
        most = int(copies.max()) + 1
        self._processes = np.array(list(map(_process, turns)))
        process = np.repeat(self._processes, counts)
        self._width = most * (int(process.max()) + 1)
        cell = np.repeat(np.arange(len(turns)) * self._width, counts) + process * most + copies
        self._cells = group_medians(logs, cell, len(turns) * self._width).reshape(len(turns), self._width)

    def alike(self) -> list[tuple[Wholes, Floats, Floats, Wholes]]:
        """Rows whose rounds hold the same copies: their numbers, [rows, R] round medians, [rows, R, C] cells, and the
        processes of the rounds.
        """
        there = np.packbits(np.isfinite(self._cells), axis=1)
        firsts = np.cumsum(self._rounds) - self._rounds
        found: dict[tuple[int, bytes, bytes], list[int]] = {}
        for row, (first, turns) in enumerate(zip(firsts.tolist(), self._rounds.tolist(), strict=True)):
            rounds = slice(first, first + turns)
            found.setdefault((turns, there[rounds].tobytes(), self._processes[rounds].tobytes()), []).append(row)
        return [self._taken(np.array(rows), firsts, turns) for (turns, *_), rows in found.items()]

    def _taken(self, rows: Wholes, firsts: Wholes, turns: int) -> tuple[Wholes, Floats, Floats, Wholes]:
        places = firsts[rows, None] + np.arange(turns)
        cells = self._cells[places]
        there = np.isfinite(cells[0]).any(axis=0)
        return rows, self._medians[places], cells[:, :, there], self._processes[places[0]]
