"""The rule for facts: any difference is a change, within what such a figure moves by itself."""

from __future__ import annotations

import pytest

from mglubench.results.exact import COUNTED, DECLARED, MEASURED_ERROR, Exact, rule_of
from mglubench.results.judgement import Reason, Verdict


@pytest.mark.parametrize(
    ("rule", "base", "new", "verdict", "reason"),
    [
        (DECLARED, [100], [100, 100], Verdict.SAME, Reason.EQUAL),
        (DECLARED, [100], [101], Verdict.WORSE, Reason.DIFFERS),
        (DECLARED, [100], [99], Verdict.BETTER, Reason.DIFFERS),
        (DECLARED, [0], [1], Verdict.WORSE, Reason.DIFFERS),
        (COUNTED, [1e6], [1.01e6], Verdict.SAME, Reason.WITHIN_TOLERANCE),
        (COUNTED, [1e6], [1.05e6], Verdict.WORSE, Reason.DIFFERS),
        (COUNTED, [0], [4096], Verdict.SAME, Reason.WITHIN_TOLERANCE),
        (COUNTED, [1e6, 1.2e6], [1.1e6], Verdict.SAME, Reason.WITHIN_TOLERANCE),
        (COUNTED, [1e6, 1.2e6], [1.3e6], Verdict.WORSE, Reason.DIFFERS),
        (MEASURED_ERROR, [1e-7], [2e-7], Verdict.WORSE, Reason.DIFFERS),
        (MEASURED_ERROR, [2e-7], [1e-7], Verdict.BETTER, Reason.DIFFERS),
        (Exact(more_is_better=True), [0.25], [0.5], Verdict.BETTER, Reason.DIFFERS),
        (Exact(more_is_better=True), [0.5], [0.25], Verdict.WORSE, Reason.DIFFERS),
    ],
)
def test_a_difference_is_a_change(rule, base, new, verdict, reason):
    assert rule.judge(base, new) == (verdict, reason)


def test_each_fact_has_its_rule():
    assert [rule_of(n) for n in ("bytes_total", "dram_bytes_read", "l2_bytes_written", "error_after")] == [
        DECLARED,
        COUNTED,
        COUNTED,
        MEASURED_ERROR,
    ]
