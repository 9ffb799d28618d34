"""The stored formats as JSON Schema (2020-12), from the classes and axes that read them; ``docs/schemas`` holds these.

Make the folder anew with ``python -m tests.report.test_stored_schemas``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec

from mglubench.cases.axes import AXES, Axis
from mglubench.cases.config import INT_KEYS, KNOWN, MEASURE_KEYS
from mglubench.cases.sweep_spec import LISTED, PAIRED, MeasureSettings
from mglubench.kernels.tuning import NOTEBOOK as TUNING
from mglubench.kernels.tuning import Entry
from mglubench.report.compare_json import comparison_schema
from mglubench.report.json_schema import Schema, json_schema, titled
from mglubench.results.baselines import Manifest
from mglubench.results.ceilings import NOTEBOOK as CEILINGS
from mglubench.results.ceilings import Ceiling
from mglubench.results.header import Header
from mglubench.results.repeat_notebook import NOTEBOOK as REPEATS
from mglubench.results.repeat_notebook import Remembered
from mglubench.results.rows import SCHEMA, CounterRow, Fact, Row
from mglubench.system.notebook import Notebook


def sweep_schema() -> Schema:
    """Of a sweep file, as its TOML is read; what a value means, and more of what it may be, the axes say."""
    settings = {field.name: field.default for field in dataclasses.fields(MeasureSettings)}
    shapes: Schema = {"type": "string", "pattern": r"^\s*\d+x\d+\s*$"}
    known: Schema = {
        **{axis.given_as: _of_axis(axis) for axis in (AXES[name] for name in (*PAIRED, *LISTED))},
        **{key: {"type": _number(key), "default": settings[key]} for key in MEASURE_KEYS},
        "shape": _one_or_more(shapes, "Pairs HxD, in the place of h and d."),
        "model": _one_or_more({"type": "string"}, "Models of sweeps/llms.toml, in the place of h and d."),
        "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
        "ceiling": {"type": "boolean", "default": True},
    }
    properties = {key: known[key] for key in KNOWN}
    return titled("a sweep file", {"type": "object", "properties": properties, "additionalProperties": False})


def counter_schema() -> Schema:
    """Of a line of ``counters.jsonl``: how the case was profiled stands beside the fields of its row."""
    found = msgspec.json.schema(CounterRow)
    row = found["$defs"][CounterRow.__name__]
    del row["properties"]["how"]
    row["additionalProperties"] = msgspec.json.schema(Fact)
    return titled("a row of counters.jsonl", found)


def _plain(what: str, kind: object) -> Callable[[], Schema]:
    return lambda: json_schema(kind, what)


def _of_notebook(book: Notebook, kind: object) -> Callable[[], Schema]:
    """Of a notebook whose entries are of this kind."""

    def schema() -> Schema:
        (entries,), parts = msgspec.json.schema_components([dict[str, kind]], ref_template="#/$defs/{name}")  # type: ignore[valid-type]
        properties = {"version": {"const": book.version}, book.content: entries}
        table: Schema = {"type": "object", "required": list(properties), "properties": properties, "$defs": parts}
        return titled(f"{book.file}, a {book.what}", table)

    return schema


def _of_axis(axis: Axis) -> Schema:
    one: Schema = {"type": ["integer", "string"] if axis.numeric else "string"}
    return {**one, "description": axis.help} if axis.single else _one_or_more(one, axis.help)


def _one_or_more(one: Schema, about: str) -> Schema:
    return {"description": about, "anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _number(key: str) -> str:
    return "integer" if key in INT_KEYS else "number"


# By the name of the file in ``docs/schemas``.
STORED: dict[str, Callable[[], Schema]] = {
    "run": _plain(f"run.json, schema {SCHEMA}", Header),
    "row": _plain(f"a row of rows.jsonl, schema {SCHEMA}", Row),
    "counter_row": counter_schema,
    "baseline": _plain("baseline.json, a baseline's manifest", Manifest),
    "sweep": sweep_schema,
    "ceilings": _of_notebook(CEILINGS, dict[str, Ceiling]),
    "repeats": _of_notebook(REPEATS, Remembered),
    "tuning": _of_notebook(TUNING, Entry),
    "compare": comparison_schema,
}
