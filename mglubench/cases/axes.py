"""The axes: everything in which two cases can differ, each written down once.

A field of :class:`Coordinates` is an axis. The case, its key, its setting, the columns of a frame, the options of the
command line and the keys of a sweep file all follow from these fields; what a value means is said in ``layer/``. A new
axis is a new last field: it stands in the key where it differs from its default, so keys and rows of before hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, get_type_hints

from mglubench.cases.vocabulary import (
    LAYER,
    NM_MAX,
    SAME,
    activation_name,
    block_name,
    device_name,
    dtype_name,
    mask_name,
    mode_name,
    weights_name,
)
from mglubench.errors import UsageError

Value = int | str
Parse = Callable[[object, str], Value]

DIM_MAX = 1 << 20
BATCH_MAX = 1024
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        parse: a value from what was given and the name to complain under; raises :class:`UsageError`.
        help: of the command line's option.
        walked: what a sweep walks unless it is told otherwise.
        shared: whether cases must agree on it to be compared (it belongs to the setting).
        masked: whether only layers with masks have it.
        key: how a value stands in a case's key, what parts it from the value before included.
        title: how it stands in the heading of a setting; nothing for an axis of which headings do not speak.
        option: its name on the command line and in sweep files, where that is not its own.
        single: whether a sweep has one value of it, not a list.
        pace: place among the loops of a sweep; the highest changes fastest.
        name, plain: of its field: the name, and the value of a row that was written before there was this axis.
    """

    parse: Parse
    help: str = ""
    walked: tuple[Value, ...] = ()
    shared: bool = True
    masked: bool = False
    key: str = ""
    title: Callable[[Value], str] | None = None
    option: str = ""
    single: bool = False
    pace: int = 4
    name: str = ""
    plain: Value | None = None

    @property
    def given_as(self) -> str:
        """Its name on the command line and in sweep files."""
        return self.option or self.name

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers, of which there are ranges."""
        return bool(self.walked) and isinstance(self.walked[0], int)

    def parsed(self, value: object) -> Value:
        """A value of this axis; raises :class:`UsageError`."""
        return self.parse(value, self.name)

    def in_key(self, value: Value) -> str:
        """Its part of a key."""
        if self.key:
            return self.key.format(value)
        return "" if value == self.plain else f"/{self.name}-{value}"

    def in_title(self, value: Value) -> str:
        """Its part of a heading."""
        if self.title:
            return self.title(value)
        return f", {self.name} {value}" if self.shared and not self.key and value != self.plain else ""


def whole(least: int, most: int, allowed: str = "") -> Parse:
    """Whole numbers of a range."""

    def parse(value: object, name: str) -> Value:
        number = parse_int(value, name)
        if not least <= number <= most:
            raise UsageError(f"{name} is {number}; allowed: {allowed or f'{least} to {most}'}")
        return number

    return parse


def word(canonical: Callable[[str], str], auto: bool = False) -> Parse:
    """Words that have a canonical form, ``auto`` among them if the machine may choose."""
    return lambda value, _: AUTO if auto and value == AUTO else canonical(str(value))


def parse_int(text: object, what: str) -> int:
    """A whole number, or a :class:`UsageError` that says which value is not one."""
    try:
        return int(str(text).strip())
    except ValueError:
        raise UsageError(f"{what} must be a whole number, got {str(text).strip()!r}") from None


def _tokens(batch: Value) -> str:
    return ", 1 token" if batch == 1 else f", {batch} tokens"


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A value of every axis.

    Attributes:
        variant: registered variant name.
        h: hidden size (columns of W). d: intermediate size (rows of W).
        nm: number of masks; 0 for a layer without masks.
        batch: tokens, rows of x.
        dtype: of x and y, and of W unless ``weights`` says otherwise (``float32``, ``bfloat16``, ``float16``).
        activation: ``silu``, ``gelu`` or ``relu``.
        mask: distribution of the masks, e.g. ``bernoulli:0.5``; ``none`` for a layer without masks.
        mode: how caches are treated, ``cold``, ``hot``, ...
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        seed: of all random inputs.
        weights: how W is stored (``same``: as dtype; ``int8``, ``int4``, ``fp8-e4m3``, ``mxfp4``).
        block: ``layer`` alone, or ``mlp`` with the down projection behind it; y then has h columns.
    """

    variant: Annotated[
        str,
        Axis(
            word(str),
            "Names; auto is all that run here, -NAME leaves one out. (default: auto)",
            walked=(AUTO,),
            shared=False,
            key="{}",
            option="variants",
            pace=9,
        ),
    ]
    h: Annotated[
        int,
        Axis(
            whole(1, DIM_MAX),
            "Hidden sizes, such as 2048,4096 or pow2:1024..8192; pairs up with --d.",
            walked=(2048,),
            key="/{}",
            title="h={}".format,
            pace=1,
        ),
    ]
    d: Annotated[
        int,
        Axis(
            whole(1, DIM_MAX),
            "Intermediate sizes, such as 8192,14336.",
            walked=(8192,),
            key="x{}",
            title=" d={}".format,
            pace=1,
        ),
    ]
    nm: Annotated[
        int,
        Axis(
            whole(1, NM_MAX),
            "Numbers of masks, such as 1,2,4,8 or 1..16. (default: 1,2,4,8)",
            walked=(1, 2, 4, 8),
            shared=False,
            masked=True,
            key="/nm{}",
            pace=8,
        ),
    ] = 0
    batch: Annotated[
        int,
        Axis(
            whole(1, BATCH_MAX),
            "Tokens, such as 1,4 or pow2:1..64. (default: 1)",
            walked=(1,),
            key="/b{}",
            title=_tokens,
            pace=3,
        ),
    ] = 1
    dtype: Annotated[
        str,
        Axis(
            word(dtype_name, auto=True),
            "float32, bfloat16, float16. (default: by device)",
            walked=(AUTO,),
            key="/{}",
            title=", {}".format,
            pace=2,
        ),
    ] = "float32"
    activation: Annotated[
        str,
        Axis(
            word(activation_name),
            "silu (or swish), gelu, relu. (default: silu)",
            walked=("silu",),
            key="/{}",
            title=", {}".format,
            pace=5,
        ),
    ] = "silu"
    mask: Annotated[
        str,
        Axis(
            word(mask_name),
            "bernoulli:P, ones, zeros. (default: bernoulli:0.5)",
            walked=("bernoulli:0.5",),
            shared=False,
            masked=True,
            key="/{}",
            pace=7,
        ),
    ] = "none"
    mode: Annotated[
        str,
        Axis(
            word(mode_name),
            "cold, hot, walk (CPU), graph (CUDA). (default: cold)",
            walked=("cold",),
            key="/{}",
            title=", {}".format,
            pace=6,
        ),
    ] = "cold"
    device: Annotated[
        str,
        Axis(
            word(device_name),
            "cpu, cuda, cuda:N. (default: CUDA if there is one)",
            walked=(AUTO,),
            key="/{}",
            title=" on {}".format,
            pace=0,
        ),
    ] = "cpu"
    seed: Annotated[
        int,
        Axis(
            whole(0, 2**63 - 1, "0 to 2**63 - 1"),
            "Seed of all inputs. (default: 0)",
            walked=(0,),
            key="/seed{}",
            title=lambda _: "",
            single=True,
        ),
    ] = 0
    weights: Annotated[
        str,
        Axis(
            word(weights_name),
            "How W is stored: same, int8, int4, fp8-e4m3, mxfp4. (default: same)",
            walked=(SAME,),
            pace=2,
        ),
    ] = SAME
    block: Annotated[
        str,
        Axis(
            word(block_name),
            "layer, or mlp: with the down projection behind it. (default: layer)",
            walked=(LAYER,),
            pace=5,
        ),
    ] = LAYER

    def value(self, axis: str) -> Value:
        """The value of one axis."""
        found: Value = getattr(self, axis)
        return found

    def to_dict(self) -> dict[str, Value]:
        """Plain values, for JSON."""
        return {name: self.value(name) for name in AXES}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Inverse of :meth:`to_dict`; an axis that is not there has its default, what is no axis is passed over."""
        known: dict[str, Any] = {name: values[name] for name in AXES if name in values}
        return cls(**known)


def _axes() -> dict[str, Axis]:
    hints = get_type_hints(Coordinates, include_extras=True)
    found = {}
    for entry in dataclasses.fields(Coordinates):
        plain = None if entry.default is dataclasses.MISSING else entry.default
        axis: Axis = hints[entry.name].__metadata__[0]
        found[entry.name] = dataclasses.replace(axis, name=entry.name, plain=plain)
    return found


# By name, in the order of columns and keys.
AXES: dict[str, Axis] = _axes()
# What cases must share to be compared.
SHARED = tuple(name for name, axis in AXES.items() if axis.shared)
# Everything that a sweep walks, slowest first; h and d go in pairs.
WALKED = tuple(sorted((name for name, axis in AXES.items() if not axis.single), key=lambda name: AXES[name].pace))
