"""A sweep: the axes to walk, how long to measure, and the cases that come of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mglubench.cases.axes import AUTO, AXES, WALKED, Value, parse_int
from mglubench.cases.case import Case
from mglubench.errors import UsageError

T = TypeVar("T")

# Walked in pairs (h, d) under this name.
PAIRED = ("h", "d")
PAIRS = "shapes"
# Axes that a sweep keeps a list of, or one value of, in the order of their options.
_LAST = ("variant", "device", "seed")
LISTED = tuple(sorted((name for name in AXES if name not in PAIRED), key=lambda name: name in _LAST))


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """How long and how well each case is measured.

    Attributes:
        target_noise: stop once the 95 % interval of the median is narrower than this, relative half-width.
        min_samples: samples before the target may end a case. max_samples: hard limit.
        max_seconds: sampling time per case, over all rounds; a round takes at least one sample all the same.
        rounds: in which every case of a comparison set is sampled once, at least. processes: that share them.
        case_timeout: seconds after which a case that has not come back is killed (build and compile time included).
    """

    target_noise: float = 0.01
    min_samples: int = 10
    max_samples: int = 1000
    max_seconds: float = 0.4
    rounds: int = 6
    processes: int = 3
    case_timeout: float = 300.0

    def __post_init__(self) -> None:
        _check(0 < self.target_noise < 1, "target-noise", self.target_noise, "a share between 0 and 1, such as 0.01")
        _check(3 <= self.min_samples <= self.max_samples, "min-samples", self.min_samples, "3 to max-samples")
        _check(self.max_samples <= 1_000_000, "max-samples", self.max_samples, "at most 1000000")
        _check(0 < self.max_seconds <= 86400, "max-seconds", self.max_seconds, "seconds above 0")
        _check(1 <= self.rounds <= 1000, "rounds", self.rounds, "1 to 1000")
        _check(1 <= self.processes <= 64, "processes", self.processes, "1 to 64")
        _check(0 < self.case_timeout <= 86400, "case-timeout", self.case_timeout, "seconds above 0")


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """What the user asked for; ``auto`` entries are resolved against a machine by :meth:`resolve`.

    Attributes:
        name: shown in headings and used for the run folder.
        shapes: pairs (h, d). lists: values by axis, for all other axes; ``auto`` among the variants stands for all that
            the device can run, ``-NAME`` leaves one out. An axis that is not given has the values of a plain sweep.
        ceiling: also read a large buffer once per device, so that bandwidths can be given as a share of it.
    """

    name: str = "sweep"
    shapes: tuple[tuple[int, int], ...] = ((2048, 8192),)
    lists: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    ceiling: bool = True
    measure: MeasureSettings = field(default_factory=MeasureSettings)

    def __post_init__(self) -> None:
        if not self.shapes:
            raise UsageError("no shape given; use --shape 2048x8192, or --h and --d")
        for pair in self.shapes:
            for name, value in zip(PAIRED, pair, strict=True):
                AXES[name].parsed(value)
        found = {}
        for name in LISTED:
            axis = AXES[name]
            found[name] = _unique(axis.parsed(value) for value in self.lists.get(name, axis.walked))
            if not found[name]:
                raise UsageError(f"--{axis.given_as} is empty; give at least one value")
        object.__setattr__(self, "shapes", _unique(self.shapes))
        object.__setattr__(self, "lists", found)

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of variants."""
        return self._words("variant")

    @property
    def device(self) -> tuple[str, ...]:
        """Names of devices."""
        return self._words("device")

    @property
    def dtype(self) -> tuple[str, ...]:
        """Names of dtypes."""
        return self._words("dtype")

    @property
    def nm(self) -> tuple[int, ...]:
        """Numbers of masks."""
        return tuple(value for value in self.lists["nm"] if isinstance(value, int))

    @property
    def batch(self) -> tuple[int, ...]:
        """Numbers of tokens."""
        return tuple(value for value in self.lists["batch"] if isinstance(value, int))

    @property
    def seed(self) -> int:
        """Of all random inputs."""
        return int(self.lists["seed"][0])

    def with_lists(self, **lists: tuple[Value, ...]) -> SweepSpec:
        """The same sweep with other values of some axes."""
        return dataclasses.replace(self, lists={**self.lists, **lists})

    def resolve(self, *, device: str, dtype: str, variants: tuple[str, ...]) -> SweepSpec:
        """Replace every ``auto`` by what this machine offers, and drop the variants that are named as ``-NAME``."""
        named = [name for entry in self.variants for name in (variants if entry == AUTO else (entry,))]
        dropped = {name.removeprefix("-") for name in named if name.startswith("-")}
        kept = tuple(name for name in named if name not in dropped and not name.startswith("-"))
        if not kept:
            raise UsageError(f"no variant is left of {','.join(self.variants)}")
        return self.with_lists(
            device=tuple(device if name == AUTO else name for name in self.device),
            dtype=tuple(dtype if name == AUTO else name for name in self.dtype),
            variant=kept,
        )

    def cases(self, has_masks: Callable[[str], bool]) -> list[Case]:
        """All cases in measuring order; variants without masks appear once per setting, not once per nm.

        Args:
            has_masks: whether the named variant is an MGLU (takes nm and a mask distribution).
        """
        # Modes and activations change fastest: their cases share weights, masks and float64 products.
        shared = [name for name in WALKED if AXES[name].shared]
        rest = [name for name in WALKED if not AXES[name].shared]
        plain, masked = _split(self.variants, has_masks)
        found: dict[Case, None] = {}
        for setting in self._points(shared):
            for names, axes in ((plain, [n for n in rest if not AXES[n].masked]), (masked, rest)):
                found.update((Case.from_dict({**setting, **point}), None) for point in self._points(axes, names))
        return list(found)

    def _points(self, axes: Iterable[str], variants: tuple[str, ...] = ()) -> Iterator[dict[str, Value]]:
        """Every combination of these axes' values, the last axis fastest; with what the sweep has one value of."""
        loops: list[list[dict[str, Value]]] = []
        for name in axes:
            if name == PAIRED[0]:
                loops.append([dict(zip(PAIRED, pair, strict=True)) for pair in self.shapes])
            elif name not in PAIRED:
                values = variants if name == "variant" else self.lists[name]
                loops.append([{name: value} for value in values])
        fixed = {name: self.lists[name][0] for name in LISTED if AXES[name].single}
        for parts in itertools.product(*loops):
            yield {name: value for part in (fixed, *parts) for name, value in part.items()}

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; compared when a run is resumed."""
        lists = {AXES[name].given_as: self._plain(name) for name in LISTED if not self._is_later_and_plain(name)}
        shapes = [f"{h}x{d}" for h, d in self.shapes]
        measure = dataclasses.asdict(self.measure)
        return {"name": self.name, PAIRS: shapes, **lists, "ceiling": self.ceiling, "measure": measure}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> SweepSpec:
        """Inverse of :meth:`to_dict`; an axis that is not there has the one value of the time before it.

        Raises:
            UsageError: something is missing or of another form.
        """
        try:
            before = {AXES[name].given_as: AXES[name].plain for name in LISTED if not AXES[name].key}
            given = {name: {**before, **values}[AXES[name].given_as] for name in LISTED}
            lists = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in given.items()}
            texts, measured = values[PAIRS], values["measure"]
            if not isinstance(texts, list) or not isinstance(measured, Mapping):
                raise TypeError(PAIRS)
            shapes = tuple(parse_shape(text) for text in texts)
            measure = MeasureSettings(**measured)
            return cls(str(values["name"]), shapes, lists, bool(values["ceiling"]), measure)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"a sweep without {error}, or with one of another form") from None

    def _plain(self, name: str) -> Value | list[Value]:
        values = self.lists[name]
        return values[0] if AXES[name].single else list(values)

    def _is_later_and_plain(self, name: str) -> bool:
        """Whether a run of before this axis would have said the same by not naming it."""
        return not AXES[name].key and self.lists[name] == (AXES[name].plain,)

    def _words(self, name: str) -> tuple[str, ...]:
        return tuple(str(value) for value in self.lists[name])


def _split(names: Iterable[str], has_masks: Callable[[str], bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    known = {name: has_masks(name) for name in names}
    return tuple(n for n, masks in known.items() if not masks), tuple(n for n, masks in known.items() if masks)


def parse_shape(text: str) -> tuple[int, int]:
    """``2048x8192`` to (h, d) = (2048, 8192)."""
    h, cross, d = str(text).strip().lower().partition("x")
    if not cross:
        raise UsageError(f"shape {text!r} is not HxD; write the hidden and the intermediate size, such as 2048x8192")
    return parse_int(h, "shape h"), parse_int(d, "shape d")


def zip_shapes(h: tuple[int, ...], d: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Pair the lists of --h and --d; one value pairs with all of the other list."""
    if len(h) == 1:
        h = h * len(d)
    if len(d) == 1:
        d = d * len(h)
    if len(h) != len(d):
        raise UsageError(f"--h has {len(h)} values and --d has {len(d)}; give equal lists, or pairs with --shape")
    return tuple(zip(h, d, strict=True))


def _check(ok: bool, what: str, value: object, allowed: str) -> None:
    if not ok:
        raise UsageError(f"{what} is {value}; allowed: {allowed}")


def _unique(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))
