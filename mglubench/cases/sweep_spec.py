"""A sweep: the axes to walk, how long to measure, and the cases that come of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import NM_MAX, activation_name, device_name, dtype_name, mask_name, mode_name
from mglubench.errors import UsageError

DIM_MAX = 1 << 20
BATCH_MAX = 1024
AUTO = ("auto",)


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """How long and how well each case is measured.

    Attributes:
        target_noise: stop once the 95 % interval of the median is narrower than this, relative half-width.
        min_samples: samples before the target may end a case. max_samples: hard limit.
        max_seconds: sampling time per case, cache eviction included; at least ``FEW_SAMPLES`` are taken all the same.
        case_timeout: seconds after which a case that has not come back is killed (build and compile time included).
    """

    target_noise: float = 0.01
    min_samples: int = 10
    max_samples: int = 1000
    max_seconds: float = 0.7
    case_timeout: float = 300.0

    def __post_init__(self) -> None:
        _check(0 < self.target_noise < 1, "target-noise", self.target_noise, "a share between 0 and 1, such as 0.01")
        _check(3 <= self.min_samples <= self.max_samples, "min-samples", self.min_samples, "3 to max-samples")
        _check(self.max_samples <= 1_000_000, "max-samples", self.max_samples, "at most 1000000")
        _check(0 < self.max_seconds <= 86400, "max-seconds", self.max_seconds, "seconds above 0")
        _check(0 < self.case_timeout <= 86400, "case-timeout", self.case_timeout, "seconds above 0")


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """What the user asked for; ``auto`` entries are resolved against a machine by :meth:`resolve`.

    Attributes:
        name: shown in headings and used for the run folder.
        shapes: pairs (h, d). variants: names; ``auto`` stands for all that the device can run, ``-NAME`` leaves
            one out.
        ceiling: also read a large buffer once per device, so that bandwidths can be given as a share of it.
    """

    name: str = "sweep"
    shapes: tuple[tuple[int, int], ...] = ((2048, 8192),)
    nm: tuple[int, ...] = (1, 2, 4, 8)
    batch: tuple[int, ...] = (1,)
    dtype: tuple[str, ...] = AUTO
    activation: tuple[str, ...] = ("silu",)
    mask: tuple[str, ...] = ("bernoulli:0.5",)
    mode: tuple[str, ...] = ("cold",)
    variants: tuple[str, ...] = AUTO
    device: tuple[str, ...] = AUTO
    seed: int = 0
    ceiling: bool = True
    measure: MeasureSettings = field(default_factory=MeasureSettings)

    def __post_init__(self) -> None:
        if not self.shapes:
            raise UsageError("no shape given; use --shape 2048x8192, or --h and --d")
        for h, d in self.shapes:
            _check(1 <= h <= DIM_MAX, "h", h, f"1 to {DIM_MAX}")
            _check(1 <= d <= DIM_MAX, "d", d, f"1 to {DIM_MAX}")
        for value in self.nm:
            _check(1 <= value <= NM_MAX, "nm", value, f"1 to {NM_MAX}")
        for value in self.batch:
            _check(1 <= value <= BATCH_MAX, "batch", value, f"1 to {BATCH_MAX}")
        _check(0 <= self.seed < 2**63, "seed", self.seed, "0 to 2**63 - 1")
        for axis, canonical in _CANONICAL.items():
            object.__setattr__(self, axis, _unique(canonical(text) for text in getattr(self, axis)))
        for axis in ("shapes", "nm", "batch", "variants"):
            object.__setattr__(self, axis, _unique(getattr(self, axis)))
        for axis in ("nm", "batch", "mask", "mode", "variants", "dtype", "activation", "device"):
            if not getattr(self, axis):
                raise UsageError(f"--{axis} is empty; give at least one value")

    def resolve(self, *, device: str, dtype: str, variants: tuple[str, ...]) -> SweepSpec:
        """Replace every ``auto`` by what this machine offers, and drop the variants that are named as ``-NAME``."""
        named = [name for entry in self.variants for name in (variants if entry == "auto" else (entry,))]
        dropped = {name.removeprefix("-") for name in named if name.startswith("-")}
        kept = tuple(name for name in named if name not in dropped and not name.startswith("-"))
        if not kept:
            raise UsageError(f"no variant is left of {','.join(self.variants)}")
        return dataclasses.replace(
            self,
            device=tuple(device if name == "auto" else name for name in self.device),
            dtype=tuple(dtype if name == "auto" else name for name in self.dtype),
            variants=kept,
        )

    def cases(self, has_masks: Callable[[str], bool]) -> list[Case]:
        """All cases in measuring order; variants without masks appear once per setting, not once per nm.

        Args:
            has_masks: whether the named variant is an MGLU (takes nm and a mask distribution).
        """
        found: dict[Case, None] = {}
        # Modes and activations change fastest: their cases share weights, masks and float64 products.
        axes = (self.device, self.shapes, self.dtype, self.batch, self.activation, self.mode)
        for device, (h, d), dtype, batch, activation, mode in itertools.product(*axes):
            base = Case("", h, d, 0, batch, dtype, activation, "none", mode, device, self.seed)
            found.update(dict.fromkeys(self._cases_of(base, has_masks)))
        return list(found)

    def _cases_of(self, base: Case, has_masks: Callable[[str], bool]) -> list[Case]:
        plain = [dataclasses.replace(base, variant=name) for name in self.variants if not has_masks(name)]
        masked = [
            dataclasses.replace(base, variant=name, nm=nm, mask=mask)
            for mask in self.mask
            for nm in self.nm
            for name in self.variants
            if has_masks(name)
        ]
        return plain + masked

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; compared when a run is resumed."""
        values = dataclasses.asdict(self)
        values["shapes"] = [f"{h}x{d}" for h, d in self.shapes]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SweepSpec:
        """Inverse of :meth:`to_dict`."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        fields["shapes"] = tuple(parse_shape(text) for text in values["shapes"])
        fields["measure"] = MeasureSettings(**values["measure"])
        return cls(**fields)


_CANONICAL: dict[str, Callable[[str], str]] = {
    "dtype": lambda text: text if text == "auto" else dtype_name(text),
    "activation": activation_name,
    "mask": mask_name,
    "mode": mode_name,
    "device": device_name,
}


def parse_shape(text: str) -> tuple[int, int]:
    """``2048x8192`` to (h, d) = (2048, 8192)."""
    h, cross, d = str(text).strip().lower().partition("x")
    if not cross:
        raise UsageError(f"shape {text!r} is not HxD; write the hidden and the intermediate size, such as 2048x8192")
    return parse_int(h, "shape h"), parse_int(d, "shape d")


def parse_int(text: object, what: str) -> int:
    """A whole number, or a :class:`UsageError` that says which value is not one."""
    try:
        return int(str(text).strip())
    except ValueError:
        raise UsageError(f"{what} must be a whole number, got {str(text).strip()!r}") from None


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


def _unique(values: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
