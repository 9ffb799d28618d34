"""A row as it is read many at a time: what makes most of its objects is left as text, or unchecked for a whole block.

A :class:`~mglubench.results.rows.Row` holds as many numbers as it has samples twice, each decoded by its own rule. Here
samples and copies stay text, which a block of rows decodes at once: in half the time, and straight into an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Self

import msgspec

from mglubench.measure.measurement import Copy, Round, Small
from mglubench.results.rows import Row

_samples = attrgetter("samples")
_copies = msgspec.json.Decoder(tuple[Copy, ...])
_numbers = msgspec.json.Decoder(list[int | float])
_numbers_of_rows = msgspec.json.Decoder(list[list[float]])


class StoredRound(msgspec.Struct, frozen=True, gc=False):
    """A :class:`~mglubench.measure.measurement.Round` whose copies are as they are written."""

    number: Small
    process: Small
    place: Small = 0
    count: Small = 0
    copies: msgspec.Raw = msgspec.Raw(b"[]")
    discarded: Small = 0
    settling: Small = 0

    def whole(self) -> Round:
        """With its copies."""
        copies = _copies.decode(self.copies)
        return Round(self.number, self.process, self.place, self.count, copies, self.discarded, self.settling)


class StoredRow(Row, frozen=True, kw_only=True, gc=False):
    """A row whose samples are as they are written; that they can have been measured is for its reader to say."""

    samples: msgspec.Raw = msgspec.Raw(b"[]")  # type: ignore[assignment]
    rounds: list[StoredRound] = msgspec.field(default_factory=list)  # type: ignore[assignment]

    @classmethod
    def again(cls, row: Row) -> Self:
        """As if it had been written and read."""
        return msgspec.json.decode(msgspec.json.encode(row.to_dict()), type=cls)

    def whole(self) -> Row:
        """The row."""
        values = {name: getattr(self, name) for name in Row.__struct_fields__}
        return Row(**values | {"samples": self.numbers(), "rounds": [turn.whole() for turn in self.rounds]})

    def numbers(self) -> list[int | float]:
        """The samples, whole numbers as such."""
        return _numbers.decode(self.samples)


def samples_of(rows: Sequence[StoredRow]) -> list[list[float]]:
    """The samples of each row.

    Raises:
        ValueError: they are no numbers.
    """
    return _numbers_of_rows.decode(b"[%b]" % b",".join(map(_samples, rows)))


def copies_in(text: bytes) -> tuple[int, ...]:
    """The copies of a round.

    Raises:
        ValueError: they are none.
    """
    return _copies.decode(text)
