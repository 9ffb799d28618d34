"""A case: one variant on one problem in one timing mode. Its key names it everywhere (rows, NVTX ranges, joins)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mglubench.cases.axes import AXES, SHARED, Coordinates
from mglubench.cases.vocabulary import ITEMSIZE, device_kind

# Written out once, because keys are asked for again and again; an axis that has no place in it comes last.
_KEY = "".join(axis.key.replace("{}", f"{{0.{name}}}") for name, axis in AXES.items() if axis.key)
_LATER = tuple(axis for axis in AXES.values() if not axis.key)


@dataclass(frozen=True, slots=True)
class Case(Coordinates):
    """One thing to measure; its attributes are those of :class:`~mglubench.cases.axes.Coordinates`."""

    @property
    def key(self) -> str:
        """Unique, readable and stable name of the case."""
        return _KEY.format(self) + "".join(axis.in_key(self.value(axis.name)) for axis in _LATER)

    @property
    def setting(self) -> Setting:
        """What this case shares with all it may fairly be compared to."""
        return Setting.of({name: self.value(name) for name in SHARED})

    @property
    def device_kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return device_kind(self.device)

    @property
    def itemsize(self) -> int:
        """Bytes of one element of W, x or y."""
        return ITEMSIZE[self.dtype]

    @property
    def elements(self) -> int:
        """Weight elements of one matrix, d * h."""
        return self.h * self.d


@dataclass(frozen=True, slots=True)
class Setting(Coordinates):
    """The part of a case that cases must share to be compared; cases of one setting are measured interleaved.

    What they need not share has a value that no case has, or that of a layer without masks.
    """

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """The setting of a case's values or of a frame's row, by name; an axis that is not there has its default."""
        return cls.from_dict({"variant": "", **{name: values[name] for name in SHARED if name in values}})

    def title(self) -> str:
        """One line for a table heading."""
        return "".join(axis.in_title(self.value(name)) for name, axis in AXES.items() if axis.shared)
