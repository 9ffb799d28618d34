"""The stored rows as JSON Schema, from the classes that read them; ``docs/row.schema.json`` is what this makes."""

from __future__ import annotations

import msgspec

from mglubench.results.rows import SCHEMA, Row


def row_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of a line of ``rows.jsonl``."""
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"a row of rows.jsonl, schema {SCHEMA}",
    }
    return {**about, **msgspec.json.schema(Row)}
