"""JSON Schema (2020-12) from a type, the same whatever Python makes it."""

from __future__ import annotations

from inspect import cleandoc

import msgspec

Schema = dict[str, object]


def json_schema(kind: object, title: str) -> Schema:
    """The schema of a type that msgspec decodes."""
    return titled(title, msgspec.json.schema(kind, schema_hook=_of_anything))


def titled(title: str, schema: Schema) -> Schema:
    """A schema with its dialect and a title; docstrings in it lose the indentation that Pythons before 3.13 keep."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_flush(schema)}


def _flush(schema: Schema) -> Schema:
    return {key: _flush_value(key, value) for key, value in schema.items()}


def _flush_value(key: str, value: object) -> object:
    if isinstance(value, str):
        return cleandoc(value) if key == "description" else value
    if isinstance(value, list):
        return [_flush_value("", item) for item in value]
    return _flush(value) if isinstance(value, dict) else value


def _of_anything(kind: type) -> Schema:
    """Of what a class leaves to others."""
    if kind is object:
        return {"description": "what it holds is checked by those who read it"}
    raise NotImplementedError
