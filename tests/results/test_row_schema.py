"""The published schema of rows is the code's, and recorded rows of both schemas keep to it."""

from __future__ import annotations

import json

import jsonschema
import pytest

from mglubench.results.row_schema import row_schema
from tests.conftest import ROOT, make_row

PUBLISHED = ROOT / "docs" / "row.schema.json"
RECORDED = (
    "reports/cpu-main-job/rows.jsonl",
    "tests/fixtures/run_a33161e_real/rows.jsonl",
    "tests/fixtures/run_a33161e_fake/rows.jsonl",
)


def test_the_published_schema_is_what_the_code_says():
    """Make it anew with: python -m tests.results.test_row_schema"""
    assert json.loads(PUBLISHED.read_text()) == json.loads(json.dumps(row_schema()))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_rows_keep_to_it(name):
    validator = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))
    rows = [json.loads(line) for line in (ROOT / name).read_text().splitlines()]
    assert len(rows) > 10
    assert [error.message for row in rows[:40] for error in validator.iter_errors(row)] == []


def test_what_is_no_row_does_not():
    validator = jsonschema.Draft202012Validator(row_schema())
    row = make_row("glu", [1000.0], variant="swiglu", nm=0).to_dict()
    assert validator.is_valid(row)
    assert not validator.is_valid({**row, "samples": ["quick"]})
    assert not validator.is_valid({name: value for name, value in row.items() if name != "case"})


if __name__ == "__main__":
    PUBLISHED.write_text(json.dumps(row_schema(), indent=1) + "\n")
