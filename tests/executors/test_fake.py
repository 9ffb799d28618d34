"""The fake session: instant, repeatable, marked as fake, with faults on request."""

from __future__ import annotations

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError, UnavailableError
from mglubench.executors.fake import FakeSession
from mglubench.executors.rounds import measure_set
from mglubench.variants.registry import get_variant
from tests.conftest import make_case


def test_it_says_that_it_is_fake():
    assert FakeSession().describe(("auto",)).fake is True


def test_samples_depend_on_the_case_alone():
    cases = [make_case(), make_case(nm=5)]
    one, two = (
        {m.case: m.samples for m in measure_set(FakeSession(), order, MeasureSettings())}
        for order in (cases, cases[::-1])
    )
    assert one == two
    assert one[cases[0]] != one[cases[1]]


def test_latency_follows_the_declared_bytes():
    case = make_case(h=2048, d=8192, variant="swiglu", nm=0)
    session = FakeSession()
    session.prepare(case)
    samples = session.sample(case, 1.0, 10).samples
    expected = get_variant("swiglu").declare(case).total / 50e9 * 1e9
    assert sorted(samples)[5] == pytest.approx(expected, rel=0.05)


def test_planted_faults_fail_in_prepare():
    with pytest.raises(CaseError, match=r"planted fault in lu") as caught:
        FakeSession({"lu": "oom"}).prepare(make_case(variant="lu", nm=0))
    assert caught.value.status == "oom"


def test_what_a_variant_does_not_take_is_unsupported():
    with pytest.raises(CaseError) as caught:
        FakeSession().prepare(make_case(batch=2048))
    assert caught.value.status == "unsupported"


def test_a_gpu_is_there_only_when_asked_for():
    with pytest.raises(UnavailableError, match=r"doctor"):
        FakeSession().describe(("cuda",))
    described = FakeSession(cuda=True).describe(("auto", "cpu"))
    assert list(described.devices) == ["cuda", "cpu"]
    assert "mglu-numba-cpu" in described.unavailable["cuda"]


def test_sessions_end_quietly():
    session = FakeSession()
    session.abandon(make_case())
    session.close()


@pytest.mark.parametrize("method", ["why_unsupported", "declare"])
def test_a_variant_that_raises_of_itself_is_a_row_with_a_reason(monkeypatch, method):
    def broken(case):
        raise TypeError("no such case\nat all")

    monkeypatch.setattr(get_variant("lu"), method, broken)
    (row,) = measure_set(FakeSession(), [make_case(variant="lu", nm=0)], MeasureSettings())
    assert (row.status, row.reason) == ("error", "TypeError: no such case")
