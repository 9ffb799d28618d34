"""A row as it is read many at a time: what makes most of its objects is left as text, or unchecked for a whole block.

A :class:`~mglubench.results.rows.Row` holds as many numbers as it has samples twice, each decoded by its own rule. Here
samples and rounds stay text: a block of rows decodes all its samples at once and straight into an array, and of rounds
that are written alike one.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Self

import msgspec

from mglubench.measure.measurement import Round
from mglubench.results.rows import Row

_samples = attrgetter("samples")
_round = msgspec.json.Decoder(Round)
_numbers = msgspec.json.Decoder(list[int | float])
_numbers_of_rows = msgspec.json.Decoder(list[list[float]])


class StoredRow(Row, frozen=True, kw_only=True, gc=False):
    """A row whose samples are as they are written; that they can have been measured is for its reader to say."""

    samples: msgspec.Raw = msgspec.Raw(b"[]")  # type: ignore[assignment]
    rounds: list[msgspec.Raw] = msgspec.field(default_factory=list)  # type: ignore[assignment]

    @classmethod
    def again(cls, row: Row) -> Self:
        """As if it had been written and read."""
        return msgspec.json.decode(msgspec.json.encode(row.to_dict()), type=cls)

    def whole(self) -> Row:
        """The row."""
        values = {name: getattr(self, name) for name in Row.__struct_fields__}
        return Row(**values | {"samples": self.numbers(), "rounds": self.turns()})

    def numbers(self) -> list[int | float]:
        """The samples, whole numbers as such."""
        return _numbers.decode(self.samples)

    def turns(self) -> list[Round]:
        """The rounds."""
        return list(map(_round.decode, self.rounds))


def samples_of(rows: Sequence[StoredRow]) -> list[list[float]]:
    """The samples of each row.

    Raises:
        ValueError: they are no numbers.
    """
    return _numbers_of_rows.decode(b"[%b]" % b",".join(map(_samples, rows)))


def round_in(text: bytes) -> Round:
    """A round.

    Raises:
        ValueError: it is none.
    """
    return _round.decode(text)
