"""Verification: every nm and every awkward shape, failures as verdicts."""

from __future__ import annotations

import dataclasses

import pytest

from mglubench.errors import UsageError
from mglubench.executors.child import ChildSession
from mglubench.executors.fake import FakeSession
from mglubench.layer.problem import InputSet, Problem
from mglubench.runner.verify import SHAPES, UNALIGNED, default_nms, verify, verify_cases, verify_plan
from tests.conftest import make_case


def test_every_nm_shape_and_dtype_has_its_turn():
    dtypes = ("float32", "bfloat16", "float16")
    cases = verify_cases(["mglu-naive"], range(1, 17), dtypes, "cpu")
    assert {case.nm for case in cases} == set(range(1, 17))
    assert {(case.h, case.d, case.dtype) for case in cases} >= {(*shape, dtype) for shape in SHAPES for dtype in dtypes}
    assert {case.mask for case in cases} >= {"ones", "zeros", "bernoulli:0.5"}
    assert {case.activation for case in cases} == {"silu", "gelu", "relu"}
    assert len({case.key for case in cases}) == len(cases)


def test_paths_that_turns_could_miss_are_entered():
    cases = verify_cases(["flash-mglu-mma"], (1, 2, 8, 16), ("bfloat16", "float16"), "cuda", multiprocessors=132)
    slots = 132 * 4 * 16
    beyond = [case for case in cases if case.d > slots]
    assert {case.h % 8 == 0 for case in beyond} == {True, False}, "wide loads and single ones"
    assert all(case.h % 64 and case.d % 16 and case.batch > 8 for case in beyond)
    assert any(case.nm == 16 and case.batch > 8 for case in cases)
    assert all(case.d <= slots for case in cases if case not in beyond)
    assert len({case.batch for case in cases if case.batch > 8}) >= 4
    few = verify_cases(["flash-mglu-mma"], (1,), ("float16",), "cuda")
    assert max(case.d for case in few) < slots


def test_x_and_y_lie_off_their_alignment_at_one_shape():
    offsets = {}

    class Session(FakeSession):
        def prepare(self, case, offset=0):
            offsets[case.h, case.d] = offset
            return super().prepare(case)

    assert all(v.status == "ok" for v in verify(Session(), verify_cases(["lu"], [1], ["float32"], "cpu")))
    assert offsets[UNALIGNED] == 1
    assert set(offsets.values()) == {0, 1}


def test_an_offset_moves_x_and_y_in_every_session(tmp_path):
    case = make_case(variant="swiglu", nm=0, h=40, d=9, batch=2)
    problem = Problem.make(case, InputSet(case), offset=1)
    assert [tensor.data_ptr() % 8 for tensor in (problem.x, problem.y)] == [4, 4]
    assert problem.x.is_contiguous()
    session = ChildSession(tmp_path / "log", 60.0)
    try:
        assert [v.status for v in verify(session, [dataclasses.replace(case, h=1000, d=33)])] == ["ok"]
    finally:
        session.close()


def test_layers_without_masks_have_none():
    assert all((case.nm, case.mask) == (0, "none") for case in verify_cases(["lu"], [1, 2], ["float32"], "cpu"))


def test_verdicts_tell_defects_from_absences():
    cases = verify_cases(["lu", "swiglu", "mglu-naive"], [1], ["float32"], "cpu")
    session = FakeSession({"lu": "wrong", "swiglu": "unavailable"})
    verdicts = list(verify(session, cases))
    assert len(verdicts) == len(cases)
    assert {(v.case.variant, v.status, v.failed) for v in verdicts} == {
        ("lu", "wrong", True),
        ("swiglu", "unavailable", False),
        ("mglu-naive", "ok", False),
    }
    assert all(v.reason for v in verdicts if v.status != "ok")
    assert all(v.relative == 0.0 for v in verdicts if v.status == "ok")


def test_without_names_every_variant_that_runs_here_is_checked_at_every_nm_it_takes():
    cases = verify_plan(FakeSession(), None, "cpu", "float32", None)
    found = {name: {case.nm for case in cases if case.variant == name} for name in {case.variant for case in cases}}
    assert found["mglu-numba-cpu"] == set(default_nms("mglu-numba-cpu")) == set(range(1, 17))
    assert {"lu", "swiglu", "stream-read"} <= set(found)


@pytest.mark.parametrize(
    ("names", "device", "dtypes", "nm", "words"),
    [
        ("swiglo", "cpu", "float32", None, "unknown variant"),
        (None, "gpu", "float32", None, "unknown device"),
        (None, "cpu", "fp31", None, "unknown dtype"),
        (None, "cpu", "float32", "17", "nm is 17"),
    ],
)
def test_bad_values_are_refused(names, device, dtypes, nm, words):
    with pytest.raises(UsageError, match=words):
        verify_plan(FakeSession(), names, device, dtypes, nm)
