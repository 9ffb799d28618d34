"""The rows of a run, typed: what was measured of a case, and what a profiler said of one. Schema 2.

Schema 1 had neither rounds nor sets: its samples are one round, its run one set.

On disk a row is a JSON object with the names of these fields. A field that a row lacks has its default, and a name that
is not known is passed over, so that rows of older and of newer minor versions load; a value of another type is an
error that says where it stands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import msgspec

from mglubench.measure.measurement import Errors, Measurement, Summary
from mglubench.status import Status

__all__ = ["SCHEMA", "CounterRow", "Errors", "Fact", "Measurement", "Row", "Status", "Summary"]

SCHEMA = 2
# Fields of a row that are left out where there is nothing to say.
OPTIONAL = ("notes", "worker")
# What a figure can be: no launch takes less than a picosecond or more than thirty years, no count is beyond 64 bits.
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Whole = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
LEAST_NS, MOST_NS = 1e-3, 1e18
Nanoseconds = (
    Annotated[int, msgspec.Meta(ge=1, le=int(MOST_NS))] | Annotated[float, msgspec.Meta(ge=LEAST_NS, le=MOST_NS)]
)

# What JSON holds.
Plain = bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"] | None
# How a case was profiled: where the report lies, launches, what was flushed.
Fact = str | int | float | None


class Row(Measurement, frozen=True, kw_only=True, gc=False):
    """One finished case: a measurement, under its key and with the kind of its layer."""

    key: str
    layer: str = ""
    samples: list[Nanoseconds] = msgspec.field(default_factory=list)
    discarded: Count = 0
    ledger: dict[str, Count] = msgspec.field(default_factory=dict)
    checks: list[dict[str, Whole | float | None]] = msgspec.field(default_factory=list)
    interleaved: Count = 1
    set: Count = 0

    @classmethod
    def of(cls, measurement: Measurement, layer: str) -> Self:
        """The row that is stored of a measurement."""
        return cls(key=measurement.case.key, layer=layer, **_measured(measurement))

    @classmethod
    def from_dict(cls, values: Mapping[str, Plain]) -> Self:
        """Inverse of :meth:`to_dict`.

        Raises:
            ValueError: a value has another type than its field; the message says where.
        """
        return msgspec.convert(values, cls)

    def to_dict(self) -> dict[str, Plain]:
        """Plain values, for JSON; the order of keys is that of all earlier rows."""
        values = _measured(self)
        for name in OPTIONAL:
            if not values[name]:
                del values[name]
        rounds = [msgspec.structs.asdict(turn) for turn in self.rounds]
        return {"layer": self.layer, "key": self.key, **values, "case": self.case.to_dict(), "rounds": rounds}

    def why_damaged(self) -> str | None:
        """What no measurement can have led to, in words; ``None`` if there is nothing of the kind."""
        if self.status == Status.OK and not self.samples:
            return "it is ok, but has no samples"
        if self.ledger and not self.ledger.get("total"):
            return "its ledger has no bytes"
        count = 0
        for turn in self.rounds:
            if turn.copies and len(turn.copies) != turn.count:
                return "a round does not say of every sample which copy it ran on"
            count += turn.count
        if self.rounds and count != len(self.samples):
            return f"its rounds do not add up to its {len(self.samples)} samples"
        return self.case.why_impossible()


@dataclass(frozen=True, slots=True)
class CounterRow:
    """One tool's word on one case.

    Attributes:
        tool: ``ncu`` or ``nsys``. reason: one line; why there are no figures, or which are lacking.
        figures: values by the frame's column. kernels: their names, where the tool tells them.
        how: how the case was profiled (``launches``, ``source``, ``cache_control``, ...); stored beside the fields.
    """

    key: str
    tool: str
    status: Status
    reason: str = ""
    figures: dict[str, Whole | float | None] = field(default_factory=dict)
    kernels: list[str] = field(default_factory=list)
    how: dict[str, Fact] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Plain]) -> Self:
        """Inverse of :meth:`to_dict`.

        Raises:
            ValueError: a field is missing, or a value has another type; the message says where.
        """
        known = {name: value for name, value in values.items() if name in _COUNTER_FIELDS}
        how = {name: value for name, value in values.items() if name not in _COUNTER_FIELDS}
        return msgspec.convert({**known, "how": how}, cls)

    def to_dict(self) -> dict[str, Plain]:
        """Plain values, for JSON."""
        values = {name: getattr(self, name) for name in _COUNTER_FIELDS}
        if not self.kernels:
            del values["kernels"]
        return {**values, **self.how}


_COUNTER_FIELDS = tuple(item.name for item in dataclasses.fields(CounterRow) if item.name != "how")


def _measured(measurement: Measurement) -> dict[str, Any]:
    return {name: getattr(measurement, name) for name in Measurement.__struct_fields__}
