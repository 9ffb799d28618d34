"""A case: one variant on one problem in one timing mode. Its key names it everywhere (rows, NVTX ranges, joins)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Self

from mglubench.cases.axes import AUTO, AXES, SHARED, Coordinates
from mglubench.cases.vocabulary import ITEMSIZE, LAYER, SAME, device_kind
from mglubench.errors import UsageError

# Written out once, because keys are asked for again and again; an axis that has no place in it comes last.
_KEY = "".join(axis.key.replace("{}", f"{{0.{name}}}") for name, axis in AXES.items() if axis.key)
# Of stored cases: more than any sweep may ask for, and whole numbers still.
SIZE_MAX = 1 << 40
_WORDS = tuple(name for name, axis in AXES.items() if isinstance(axis.walked[0], str) and name != "variant")
_words = attrgetter(*_WORDS)
_sizes = attrgetter("h", "d", "nm", "batch", "seed")
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

    def why_impossible(self) -> str | None:
        """What no case can be, in words; ``None`` if there is nothing of the kind. For cases that come out of files."""
        h, d, nm, batch, seed = _sizes(self)
        if not (h > 0 < d and nm >= 0 < batch and seed >= 0):
            return f"a size below its least in {self.key}"
        if not (h <= SIZE_MAX >= d and nm <= SIZE_MAX >= batch and seed < 1 << 63):
            return f"a size beyond all machines in {self.key}"
        return _why_no_words(_words(self))

    @property
    def device_kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return device_kind(self.device)

    @property
    def itemsize(self) -> int:
        """Bytes of one element of x or y, and of W where it is stored in their dtype."""
        return ITEMSIZE[self.dtype]

    @property
    def outputs(self) -> int:
        """Columns of y: d of a layer, h of a whole block."""
        return self.d if self.block == LAYER else self.h

    @property
    def stored(self) -> str:
        """What W is made of: its format, or the dtype of x and y."""
        return self.dtype if self.weights == SAME else self.weights

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

    def title(self, but: str = "") -> str:
        """One line for a heading, without one of the axes if that is told apart below it."""
        return "".join(axis.in_title(self.value(name)) for name, axis in AXES.items() if axis.shared and name != but)


@lru_cache(maxsize=4096)
def _why_no_words(words: tuple[str, ...]) -> str | None:
    """Why these are no words of their axes; cases share them, so they are looked at once."""
    for name, word in zip(_WORDS, words, strict=True):
        axis = AXES[name]
        try:
            if word == AUTO or (word != axis.plain and axis.parsed(word) != word):
                return f"{name} {word!r}"
        except UsageError as error:
            return str(error)
    return None
