"""Sweep files: TOML in, :class:`SweepSpec` out; every complaint names file, line and key.

A sweep file has the keys of the command line, with lists where the command line takes commas::

    name = "paper"
    shape = ["2048x8192", "4096x14336"]
    nm = [1, 2, 4, 8]
    mode = ["cold", "hot"]
    target_noise = 0.01
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mglubench.cases.axes import AXES, Value, parse_int
from mglubench.cases.models import shape_of
from mglubench.cases.ranges import numbers_in
from mglubench.cases.sweep_spec import LISTED, PAIRED, MeasureSettings, SweepSpec, parse_shape, zip_shapes
from mglubench.cases.toml_file import line_of, read_toml
from mglubench.cases.vocabulary import near, one_of
from mglubench.errors import ConfigError, UsageError
from mglubench.system.resources import data_folder

CheckNames = Callable[[Sequence[str]], None]

MEASURE_KEYS = tuple(field.name for field in dataclasses.fields(MeasureSettings))
INT_KEYS = ("min_samples", "max_samples", "rounds", "processes")
# Keys that are right or wrong only together.
JUDGED_WITH = {
    "h": ("d", "shape", "model"),
    "d": ("h", "shape", "model"),
    "min_samples": ("max_samples",),
    "max_samples": ("min_samples",),
}
# Files of this name in the same folder are campaigns, not sweeps.
CAMPAIGN = "campaign"
# What a sweep file and the command line may say: of the axes, and all.
AXIS_KEYS = (*PAIRED, "shape", "model", *(AXES[name].given_as for name in LISTED))
_SHAPES = (*PAIRED, "shape", "model")
KNOWN = (*AXIS_KEYS, "name", *MEASURE_KEYS, "ceiling")


def find_sweep(name: str) -> Path:
    """A path, or the name of a sweep that ships with mglubench (``paper`` or ``sweeps/paper.toml``)."""
    path = Path(name)
    # A name that is too long for the file system is not there either.
    with suppress(OSError):
        if path.is_file():
            return path
    shipped = data_folder("sweeps")
    candidate = shipped / f"{path.name.removesuffix('.toml')}.toml"
    names = sorted(file.stem for file in shipped.glob("*.toml") if not file.stem.startswith(CAMPAIGN))
    if candidate.stem in names and path.parent in (Path(), Path("sweeps")):
        return candidate
    raise UsageError(f"no sweep file {name!r}; shipped sweeps: {', '.join(names)}")


def read_sweep(path: Path, check_names: CheckNames = lambda names: None) -> dict[str, object]:
    """Read a sweep file into option values, each of them checked.

    Args:
        check_names: raises :class:`UsageError` for names of variants that are none; this file knows no variants.

    Raises:
        ConfigError: syntax, an unknown key, a value that cannot be; the message names file and line.
    """
    text, values = read_toml(path)
    for key in values:
        if key not in KNOWN:
            raise ConfigError(f"{path}, line {line_of(text, key)}: unknown key {key!r}; {near(key, KNOWN)}")
    values.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64] or "sweep")
    for key, value in values.items():
        try:
            spec = build_spec({key: value} | {n: values[n] for n in JUDGED_WITH.get(key, ()) if n in values})
            if key == "variants":
                check_names(spec.variants)
        except UsageError as error:
            raise ConfigError(f"{path}, line {line_of(text, key)}: key {key!r}: {error}") from None
    return values


def build_spec(options: Mapping[str, object]) -> SweepSpec:
    """Turn option values (from a file, the command line, or both merged) into a checked :class:`SweepSpec`.

    Lists may be lists, single values, or comma-separated text.

    Raises:
        UsageError: naming the option and the value.
    """
    given = {key: value for key, value in options.items() if value is not None}
    pairs = {name: _whole_numbers(given[name], name) for name in PAIRED if name in given}
    fields: dict[str, Any] = {}
    shapes = _shapes(given, pairs)
    if shapes:
        fields["shapes"] = shapes
    if "name" in given:
        fields["name"] = _name(given["name"])
    if "ceiling" in given:
        if not isinstance(given["ceiling"], bool):
            raise UsageError(f"ceiling must be true or false, got {given['ceiling']!r}")
        fields["ceiling"] = given["ceiling"]
    lists = {name: _values(name, given[key]) for name in LISTED if (key := AXES[name].given_as) in given}
    measure: dict[str, Any] = {key: number_given(given[key], key) for key in MEASURE_KEYS if key in given}
    return SweepSpec(**fields, lists=lists, measure=MeasureSettings(**measure))


def _values(name: str, given: object) -> tuple[Value, ...]:
    axis = AXES[name]
    if axis.single:
        return (axis.parsed(given),)
    items = as_list(given, axis.given_as)
    if axis.numeric:
        items = [value for item in items for value in numbers_in(item, axis.given_as)]
    return tuple(axis.parsed(value) for value in items)


def _whole_numbers(given: object, name: str) -> tuple[int, ...]:
    return tuple(parse_int(value, name) for item in as_list(given, name) for value in numbers_in(item, name))


def merged_spec(
    given: Mapping[str, object], config: str | None, check_names: CheckNames = lambda names: None
) -> SweepSpec:
    """A sweep file's values (``config``: a path, or a shipped file's name), overridden by those given.

    Raises:
        UsageError: an unknown option, a value that cannot be. ConfigError: the same in the file.
    """
    wanted = {key: value for key, value in given.items() if value is not None}
    for key in wanted:
        one_of(key, KNOWN, "option")
    values: dict[str, object] = {}
    if config is not None:
        values = read_sweep(find_sweep(config), check_names)
        # Shapes of the file give way to those that are named, in whatever way either says them.
        for ways in (("shape",), ("model",), PAIRED):
            if any(key in wanted for key in ways):
                values = {key: value for key, value in values.items() if key in ways or key not in _SHAPES}
    return build_spec({**values, **wanted})


def as_list(value: object, what: str) -> list[object]:
    """``"1,2"``, ``[1, 2]`` and ``1`` to a list; empty entries are an error."""
    items = value if isinstance(value, list | tuple) else str(value).split(",")
    cleaned = [item.strip() if isinstance(item, str) else item for item in items]
    if not cleaned or any(item == "" for item in cleaned):
        raise UsageError(f"{what} has an empty entry in {value!r}; write it like 1,2,4,8")
    if any(isinstance(item, bool | dict | list) for item in cleaned):
        raise UsageError(f"{what} must be a list of plain values, got {value!r}")
    return cleaned


def _shapes(given: Mapping[str, object], pairs: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, int], ...]:
    if "model" in given:
        if pairs or "shape" in given:
            raise UsageError("give either --model, or --shape, or --h and --d, not two of them")
        return tuple(parse_shape(shape_of(str(item))) for item in as_list(given["model"], "model"))
    if "shape" in given:
        if pairs:
            raise UsageError("give either --shape, or --h and --d, not both")
        return tuple(parse_shape(str(item)) for item in as_list(given["shape"], "shape"))
    if pairs:
        return zip_shapes(pairs.get("h", (2048,)), pairs.get("d", (8192,)))
    return ()


def number_given(value: object, key: str) -> int | float:
    """The number that a key of measuring was given; raises :class:`UsageError`."""
    if key in INT_KEYS:
        return parse_int(value, key)
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{key} must be a number, got {value!r}") from None


def _name(value: object) -> str:
    name = str(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UsageError(f"name {name!r} must be letters, digits, '.', '_' or '-', at most 64 long")
    return name
