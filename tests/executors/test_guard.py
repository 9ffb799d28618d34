"""What variants are given and what results are judged by are two things; whoever changes the first is named."""

from __future__ import annotations

import faulthandler
import os
import threading
import time

import numpy as np
import pytest
import torch

from mglubench.errors import CaseError
from mglubench.executors import guard, local
from mglubench.executors.guard import GuardedDense, GuardedInputs, count_differing, same
from mglubench.executors.live import Buffers
from mglubench.executors.local import LocalSession
from mglubench.layer.input_set import InputSet
from mglubench.layer.problem import Problem
from mglubench.variants.registry import get_variant
from tests.conftest import make_case

CASE = make_case(variant="mglu-naive", nm=2)
NEIGHBOUR = make_case(variant="mglu-premasked", nm=2)


@pytest.fixture
def session():
    session = LocalSession()
    yield session
    session.close()


@pytest.fixture
def inputs():
    made = GuardedInputs(CASE, GuardedDense(CASE))
    made.given.masks(2)
    assert made.given.weight_value is not None
    assert made.given.x(0) is not None
    assert made.given.weight is not None
    return made


def test_both_sides_are_what_the_seed_says(inputs):
    plain = InputSet(CASE)
    for side in (inputs.given, inputs.judge):
        assert torch.equal(side.weight, plain.weight)
        assert torch.equal(side.weight_value, plain.weight_value)
        assert torch.equal(side.x(1), plain.x(1))
        np.testing.assert_array_equal(side.masks(2), plain.masks(2))
    assert inputs.given.weight.data_ptr() != inputs.judge.weight.data_ptr()
    assert not np.shares_memory(inputs.given.mask(0), inputs.judge.mask(0))
    assert inputs.changes() == []


def write(tensor, count):
    tensor.reshape(-1)[:count] = 7.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda given: write(given.weight, 3), "changed weight, 3 elements"),
        (lambda given: write(given.weight_value, 1), "changed weight_value, 1 element"),
        (lambda given: write(given.x(1), 2), "changed inputs.x, 2 elements"),
        (lambda given: given.mask(1).__setitem__(slice(None), ~given.mask(1)), "changed mask 1, 240 elements"),
        (lambda given: given.weight.mul_(-1.0).neg_().reshape(-1)[0].neg_(), "changed weight, 1 element"),
        (lambda given: setattr(given.weight, "data", given.weight * 2), "replaced weight"),
        (lambda given: given.weight.t_(), "replaced weight"),
        (lambda given: given.weight.requires_grad_(True), "asked for gradients of weight"),
    ],
)
def test_a_change_is_counted_named_and_put_right(inputs, change, words):
    inputs.changes()
    change(inputs.given)
    assert inputs.changes() == [words]
    assert inputs.changes() == []
    assert torch.equal(inputs.given.weight, inputs.judge.weight)
    assert inputs.given.weight.shape == (CASE.d, CASE.h)
    assert not inputs.given.weight.requires_grad
    np.testing.assert_array_equal(inputs.given.mask(1), inputs.judge.mask(1))


def test_what_results_are_judged_by_cannot_be_written(inputs):
    """A write ends the process that tries it."""
    child = os.fork()
    if not child:
        faulthandler.disable()
        inputs.judge.weight[0, 0] = 1.0
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0


@pytest.mark.parametrize("where", [0, guard._PIECE - 1, guard._PIECE, 2 * guard._PIECE + 5])
def test_one_byte_of_many_is_seen(where):
    one = torch.zeros(2 * guard._PIECE + 6, dtype=torch.uint8)
    two = one.clone()
    assert same(one, two)
    two[where] = 1
    assert not same(one, two)
    assert count_differing(one, two) == 1


def test_a_replica_is_made_of_what_was_given_not_of_what_became_of_it():
    problem = Problem.make(CASE, InputSet(CASE))
    problem.weight = problem.weight * 2
    assert torch.equal(problem.replica().weight, problem.inputs.weight)


def plant(monkeypatch, **planted):
    """Give some names other ``prepare`` functions, which take the real variant's launch and the problem."""

    def get(name):
        real = get_variant(name)
        if name not in planted_by_name:
            return real
        prepare = planted_by_name[name]
        return type("Planted", (type(real),), {"prepare": lambda self, problem: prepare(real.prepare, problem)})()

    planted_by_name = {name.replace("_", "-"): function for name, function in planted.items()}
    monkeypatch.setattr(local, "get_variant", get)


def spoils_in_prepare(prepare, problem):
    launch = prepare(problem)
    write(problem.weight, 3)
    return launch


def spoils_then_launches(prepare, problem):
    """A launch and its answer are right for the weights as they have become."""
    write(problem.weight, 3)
    return prepare(problem)


@pytest.mark.parametrize("how", [spoils_in_prepare, spoils_then_launches])
def test_weights_changed_in_prepare_cost_the_culprit_alone(session, monkeypatch, how):
    plant(monkeypatch, mglu_naive=how)
    with pytest.raises(CaseError, match=r"^changed weight, 3 elements; .* were put right$") as caught:
        session.prepare(CASE)
    assert caught.value.status == "wrong"
    session.prepare(NEIGHBOUR)
    assert session.finish(NEIGHBOUR).check["relative"] > 0
    true = InputSet(CASE)
    (inputs,) = session._inputs.values()
    np.testing.assert_array_equal(inputs.judge.reference("mglu", 2, 1), true.reference("mglu", 2, 1))


def test_a_failure_and_a_change_are_both_named(session, monkeypatch):
    def fails(prepare, problem):
        problem.mask_tensor(0).zero_()
        raise ValueError("too late")

    plant(monkeypatch, mglu_naive=fails)
    with pytest.raises(CaseError, match=r"ValueError: too late; it also changed mask 0, \d+ elements"):
        session.prepare(CASE)
    session.prepare(NEIGHBOUR)
    session.finish(NEIGHBOUR)


def test_a_change_in_the_timed_loop_is_found_at_the_neighbours_check_and_charged_to_its_author(session, monkeypatch):
    calls = []

    def late(prepare, problem):
        launch = prepare(problem)

        def run():
            launch()
            calls.append(1)
            if len(calls) > 3:
                write(problem.weight, 2)

        return run

    plant(monkeypatch, mglu_naive=late)
    session.prepare(CASE)
    session.prepare(NEIGHBOUR)
    while len(calls) < 6:
        session.sample(CASE, 0.0, 3)
        session.sample(NEIGHBOUR, 0.0, 3)
    assert session.finish(NEIGHBOUR).check["relative"] < 1e-6
    with pytest.raises(CaseError, match=r"changed weight, 2 elements") as caught:
        session.sample(CASE, 0.0, 3)
    assert caught.value.status == "wrong"


def tampers(act):
    def prepare(prepare, problem):
        launch = prepare(problem)

        def run():
            launch()
            act(problem)

        return run

    return prepare


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda p: p.x[:, :4].zero_(), r"changed x, 4 elements"),
        (lambda p: setattr(p, "y", p.y.clone()), r"replaced problem.y"),
        (lambda p: setattr(p, "x", p.x.clone()), r"replaced problem.x"),
        (lambda p: setattr(p.y, "data", p.y.clone()), r"moved x or y"),
    ],
)
def test_a_launch_that_does_more_than_write_y_is_wrong(session, monkeypatch, act, words):
    plant(monkeypatch, mglu_naive=tampers(act))
    with pytest.raises(CaseError, match=words) as caught:
        session.prepare(CASE)
    assert caught.value.status == "wrong"


def test_x_is_looked_at_after_the_timed_loop(session, monkeypatch):
    problems = []
    plant(monkeypatch, mglu_naive=lambda prepare, problem: (problems.append(problem), prepare(problem))[1])
    session.prepare(CASE)
    problems[0].x[0, 3] = 0.0
    with pytest.raises(CaseError, match=r"changed x, 1 element"):
        session.finish(CASE)


def test_a_variant_that_computes_only_where_it_finds_nan_is_caught(session, monkeypatch):
    def lazy(prepare, problem):
        launch = prepare(problem)

        def run():
            if bool(problem.y.isnan().any()):
                launch()

        return run

    plant(monkeypatch, mglu_naive=lazy)
    session.prepare(CASE)
    session.sample(CASE, 0.0, 3)
    with pytest.raises(CaseError, match=r"10 output elements are NaN or were never written \(after the timed loop\)"):
        session.finish(CASE)


def test_an_output_that_comes_after_the_launch_is_not_the_launchs(session, monkeypatch):
    def lazy(prepare, problem):
        launch = prepare(problem)

        def later():
            time.sleep(0.05)
            launch()

        return lambda: threading.Thread(target=later).start()

    plant(monkeypatch, mglu_naive=lazy)
    with pytest.raises(CaseError, match=r"when the launch returned; they were written later, by another thread"):
        session.prepare(CASE)


@pytest.mark.parametrize("mask", ["ones", "zeros"])
def test_the_second_poison_is_wrong_where_the_answer_is_zero(session, mask):
    case = make_case(mask=mask)
    session.prepare(case)
    session._live[case].timer.run_timed = lambda: None
    with pytest.raises(CaseError, match=r"never written"):
        session.finish(case)


def test_every_replica_is_judged(session):
    """As in graph mode, where each of many copies of the layer is launched in turn."""
    session.prepare(CASE)
    live = session._live[CASE]
    replica = live.problem.replica()
    live.buffers.append(Buffers(replica))
    both = live.launch, live.variant.prepare(replica)
    live.timer.run_timed = lambda: [launch() for launch in both]
    session.finish(CASE)

    session.prepare(CASE)
    session._live[CASE].buffers.append(Buffers(live.problem.replica()))
    with pytest.raises(CaseError, match=r"never written"):
        session.finish(CASE)
