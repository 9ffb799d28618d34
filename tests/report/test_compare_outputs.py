"""Every output format of a comparison: what it says, that it can be read by its readers, that words stay words."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from mglubench.cli.output import _plain
from mglubench.report.compare_github import comparison_annotations
from mglubench.report.compare_json import ComparisonDocument, comparison_json, comparison_schema
from mglubench.report.compare_junit import comparison_junit
from mglubench.report.compare_markdown import comparison_markdown
from mglubench.report.compare_tables import comparison_tables
from mglubench.report.compare_words import heading_lines, verdict_line
from mglubench.report.render import to_markdown
from mglubench.results.compare import Rules, compare_runs
from mglubench.results.judgement import FAIL_ON, FailOn, Verdict
from mglubench.results.run_figures import CaseFigures
from mglubench.status import Status
from tests.conftest import ROOT
from tests.results.compared import CASES, case_of, world

NM1, NM4 = case_of("mglu-numba-cpu", 1), case_of("mglu-numba-cpu", 4)
NASTY = 'a | b <script>alert("x")</script> ]]> %0A::error:: \x1b[31m\nsecond & third'


@pytest.fixture(scope="module")
def comparison():
    """A slow-down, a crash with strange words, a missing case, and much that is the same or unclear."""
    rng = np.random.default_rng(0)
    base, new = world(3, rng), world(3, rng, first=3, changed={NM1: 0.12}, cases=CASES[1:])
    crash = {NM4.key: CaseFigures(NM4, Status.CRASH, NASTY)}
    new = [replace(run, cases={**run.cases, **crash}) for run in new]
    found = compare_runs(base, new, rules=Rules(recall=lambda device: None))
    assert {Verdict.FAILED, Verdict.SLOWER, Verdict.MISSING} <= set(found.counts())
    return found


def test_the_terminal_shows_the_worst_first_and_counts_the_same(comparison):
    (table,) = comparison_tables(comparison)
    cells = [table.cells(row) for row in table.rows]
    assert cells[0][:2] == ["FAILED", "mglu-numba-cpu nm=4"]
    assert cells[1][:2] == ["SLOWER", "mglu-numba-cpu nm=1"]
    assert "SAME" not in {row[0] for row in cells}
    assert any("are the same" in note for note in table.notes)
    assert any("second & third" in note for note in table.notes)
    (everything,) = [t for t in comparison_tables(comparison, everything=True) if t.rows[0]["verdict"] == "FAILED"]
    assert len(everything.rows) > len(table.rows)
    assert "1 failed" in verdict_line(comparison, FAIL_ON)
    assert "exit code 1" in verdict_line(comparison, FAIL_ON)
    assert any(line.startswith("rule: of ") for line in heading_lines(comparison))


def test_markdown_folds_what_needs_no_look_and_escapes(comparison):
    page = comparison_markdown(comparison, FAIL_ON)
    head, *folded = page.split("<details>")
    assert len(folded) == 3
    assert page.count("</details>") == 3
    assert "SLOWER" in head
    assert "SAME" not in head
    assert "<script" not in page
    assert "\x1b" not in page
    rows = [line for line in head.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_annotations_are_one_line_each_and_ten_of_a_kind_at_most(comparison):
    lines = comparison_annotations(comparison, FAIL_ON)
    assert all(line.startswith(("::error title=", "::warning title=", "::notice title=")) for line in lines)
    assert not any("\n" in line or "\x1b" in line for line in lines)
    assert sum(line.startswith("::error") for line in lines) <= 10
    crash = next(line for line in lines if "FAILED" in line)
    assert "%250A" in crash
    assert "mglu-numba-cpu" in crash
    calm = comparison_annotations(comparison, frozenset())
    assert [line.split()[0] for line in calm].count("::error") == 1
    many = replace(comparison, judgements=comparison.judgements * 12)
    assert sum(line.startswith("::error") for line in comparison_annotations(many, FAIL_ON)) == 10


def test_junit_has_a_testcase_for_each_case(comparison):
    root = ElementTree.fromstring(comparison_junit(comparison, FAIL_ON))
    (suite,) = root.findall("testsuite")
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases) == len(comparison.cases) + len(comparison.common)
    failed = {case.get("name") for case in cases if case.find("failure") is not None}
    assert failed == {NM1.key, CASES[0].key}
    assert {case.get("name") for case in cases if case.find("error") is not None} == {NM4.key}
    assert int(suite.get("errors")) == 1
    assert int(suite.get("failures")) == 2
    skipped = [case for case in cases if case.find("skipped") is not None]
    assert int(suite.get("skipped")) == len(skipped)
    assert all("UNCLEAR" in case.find("skipped").get("message") for case in skipped)
    strict = ElementTree.fromstring(comparison_junit(comparison, FAIL_ON | {FailOn.UNCLEAR})).find("testsuite")
    assert int(strict.get("failures")) == 2 + len(skipped)


def test_json_keeps_to_its_published_schema(comparison):
    published = json.loads((ROOT / "docs" / "schemas" / "compare.schema.json").read_text())
    assert published == comparison_schema(), "mglubench compare --schema > docs/schemas/compare.schema.json"
    document = json.loads(json.dumps(_plain(comparison_json(comparison, FAIL_ON)), allow_nan=False))
    assert msgspec.convert(document, ComparisonDocument).exit_code == 1
    assert document["counts"]["failed"] == 1
    assert sum(document["counts"].values()) == len(document["judgements"]) + len(document["common"])
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(document, published)
    for spoilt in ({**document, "exit_code": "1"}, {k: v for k, v in document.items() if k != "judgements"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoilt, published)


def test_tables_are_markdown_too(comparison):
    assert all("<script" not in to_markdown(table) for table in comparison_tables(comparison, everything=True))
