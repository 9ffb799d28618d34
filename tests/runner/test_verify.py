"""Verification: every nm and every awkward shape, failures as verdicts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.functional import linear, silu

from mglubench.cases.vocabulary import SAME
from mglubench.errors import UsageError
from mglubench.executors import local
from mglubench.executors.child import ChildSession
from mglubench.executors.fake import FakeSession
from mglubench.executors.local import LocalSession
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.runner.verify import NON_FINITE, SHAPES, UNALIGNED, default_nms, verify, verify_cases, verify_plan
from mglubench.variants.registry import get_variant, has_masks, variants
from mglubench.variants.torch_eager import MGLUNaive, SwiGLU
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
        def prepare(self, case, offset=0, **more):
            offsets[case.h, case.d] = offset
            return super().prepare(case, **more)

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


def test_every_variant_is_shown_what_is_not_finite_under_every_activation():
    for name in ("lu", "mglu-naive"):
        cases = [case for case in verify_cases([name], [1, 2], ["float32"], "cpu") if (case.h, case.d) == NON_FINITE]
        assert {case.activation for case in cases} == {"silu", "gelu", "relu"}
        asked = {}

        class Session(FakeSession):
            def prepare(self, case, offset=0, *, non_finite=False, asked=asked):
                asked[case] = non_finite
                return super().prepare(case)

        list(verify(Session(), verify_cases([name], [1, 2], ["float32"], "cpu")))
        assert {case for case, non_finite in asked.items() if non_finite} == set(cases)


CPU_VARIANTS = [
    name for name, variant in variants().items() if "cpu" in variant.devices and not name.endswith("-compiled")
]


@pytest.mark.parametrize("name", CPU_VARIANTS)
def test_every_variant_on_a_cpu_gives_nan_where_the_definition_does(name):
    nm = (2,) if has_masks(name) else (1,)
    cases = [c for c in verify_cases([name], nm, ["float32", "bfloat16"], "cpu") if (c.h, c.d) == NON_FINITE]
    variant, session = get_variant(name), LocalSession()
    # Of weights in a format, those that the variant takes at this shape and dtype.
    plain = [case for case in cases if case.weights == SAME]
    coded = [case for case in cases if case.weights != SAME and not variant.why_refused(case)]
    assert [(v.status, v.reason) for v in verify(session, plain)] == [("ok", "")] * 3 * (SAME in variant.formats)
    assert [(v.status, v.reason) for v in verify(session, coded)] == [("ok", "")] * len(coded)
    session.close()


def taming(change):
    """A naive layer that loses something of what is not finite."""

    def prepare(self, problem):
        launch = MGLUNaive().prepare(problem)

        def run():
            launch()
            problem.y.copy_(change(problem.y))

        return run

    return type("Taming", (MGLUNaive,), {"prepare": prepare})()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y.nan_to_num(), "not the NaN or the infinity that the definition gives"),
        (lambda y: y.nan_to_num(nan=float("inf")), "not the NaN or the infinity that the definition gives"),
        (lambda y: torch.full_like(y, float("nan")), "are NaN or were never written"),
        (lambda y: torch.where(y.isnan().any(dim=0, keepdim=True), float("nan"), y), "are NaN or were never written"),
    ],
)
def test_who_loses_nan_or_spreads_it_is_wrong(monkeypatch, change, words):
    monkeypatch.setattr(local, "get_variant", lambda name: taming(change))
    case = make_case(h=NON_FINITE[0], d=NON_FINITE[1], batch=5)
    (verdict,) = verify(LocalSession(), [case])
    assert verdict.status == "wrong"
    assert words in verdict.reason


def test_who_skips_what_masks_drop_instead_of_multiplying_it_is_wrong(monkeypatch):
    def prepare(self, problem):
        masks = [problem.mask_tensor(i) for i in range(problem.case.nm)]
        weight, x, zero = problem.weight, problem.x, torch.zeros(())

        def run():
            halves = [(torch.where(mask, weight, zero), torch.where(mask, zero, weight)) for mask in masks]
            problem.y.copy_(sum(silu(linear(x, gate)) * linear(x, value) for gate, value in halves))

        return run

    planted = type("Skipping", (MGLUNaive,), {"prepare": prepare})()
    monkeypatch.setattr(local, "get_variant", lambda name: planted)
    case = make_case(h=NON_FINITE[0] + 1, d=NON_FINITE[1], batch=5, nm=1)
    same = dataclasses.replace(case, h=NON_FINITE[0])
    found = list(verify(LocalSession(), [case, same]))
    assert [verdict.status for verdict in found] == ["ok", "wrong"]
    assert "not the NaN or the infinity that the definition gives" in found[1].reason


def test_nan_for_an_infinity_is_wrong_unless_the_class_says_so(monkeypatch):
    def prepare(self, problem):
        launch = SwiGLU().prepare(problem)

        def run():
            launch()
            problem.y[problem.y.isinf()] = float("nan")

        return run

    case = make_case(variant="swiglu", nm=0, h=NON_FINITE[0], d=NON_FINITE[1], batch=5, activation="relu")
    found = []
    for allowed in ((), ("relu",)):
        planted = type("Planted", (SwiGLU,), {"prepare": prepare, "nan_for_infinity": allowed})()
        monkeypatch.setattr(local, "get_variant", lambda name, planted=planted: planted)
        found += [verdict.status for verdict in verify(LocalSession(), [case])]
    assert found == ["wrong", "ok"]


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
