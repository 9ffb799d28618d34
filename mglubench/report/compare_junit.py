"""A comparison as JUnit XML: a test case for each case, failed, skipped where it is unclear, or passed."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from mglubench.report.compare_tables import setting_title
from mglubench.report.compare_words import change_words, figure_name, heading_lines
from mglubench.results.judgement import FailOn, Judgement, Verdict, fails
from mglubench.results.run_comparison import Comparison
from mglubench.system.plain_text import plain

LONGEST = 2000


def comparison_junit(comparison: Comparison, fail_on: frozenset[FailOn]) -> str:
    """The document: one suite; what all cases have in common is a test case of its own."""
    groups: list[Sequence[Judgement]] = [[j] for j in comparison.common]
    groups += comparison.cases.values()
    suite = ElementTree.Element("testsuite", name="mglubench compare")
    cases = [_case(list(group), fail_on) for group in groups]
    suite.extend(cases)
    for kind, tag in (("tests", None), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(sum(tag is None or case.find(tag) is not None for case in cases)))
    ElementTree.SubElement(suite, "system-out").text = "\n".join(_plain(line) for line in heading_lines(comparison))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(group: Sequence[Judgement], fail_on: frozenset[FailOn]) -> ElementTree.Element:
    """A test case; without a time, as its latency is no time that the test took."""
    first = group[0]
    name = first.key if first.case is None else first.case.key
    case = ElementTree.Element("testcase", classname=_plain(setting_title(first)), name=_plain(name))
    failing = [j for j in group if fails(j, fail_on)]
    unclear = [j for j in group if j.verdict in (Verdict.UNCLEAR, Verdict.INCOMPARABLE)]
    if failing:
        tag = "error" if any(j.defect for j in failing) else "failure"
        worst = min(failing, key=lambda j: (j.verdict.rank, -j.size))
        told = ElementTree.SubElement(case, tag, type=worst.reason.value, message=_line(worst))
        told.text = "\n".join(map(_line, failing))
    elif unclear:
        ElementTree.SubElement(case, "skipped", message="; ".join(dict.fromkeys(map(_line, unclear)))[:LONGEST])
    ElementTree.SubElement(case, "system-out").text = "\n".join(map(_line, group))
    return case


def _line(judgement: Judgement) -> str:
    parts = (change_words(judgement), judgement.words, judgement.advice)
    return _plain(f"{judgement.verdict.upper()} {figure_name(judgement)}: " + "; ".join(filter(None, parts)))


def _plain(text: str) -> str:
    return plain(text, LONGEST)
