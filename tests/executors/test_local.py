"""The session in this process: correctness gates time, failures name themselves, nothing is kept."""

from __future__ import annotations

import gc
import json
import time
import weakref

import pytest
import torch

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import CaseError, MglubenchError, UnavailableError
from mglubench.executors import local
from mglubench.executors.live import SLOW_SECONDS
from mglubench.executors.local import LocalSession, memory_of, require_device
from mglubench.executors.machine import Machine
from mglubench.executors.rounds import measure_set
from mglubench.executors.summaries import summarise
from mglubench.hardware.cpu_readings import CpuMeter, CpuReading
from mglubench.hardware.pools import pool_of
from mglubench.measure.cpu_timer import CpuTimer
from mglubench.system.plain_text import first_line
from mglubench.variants.torch_eager import LinearUnit
from tests.conftest import make_case

CASE = make_case(variant="lu", nm=0)
BRIEF = MeasureSettings(max_seconds=0.01, min_samples=3, max_samples=5, rounds=1, processes=1)


@pytest.fixture
def session():
    session = LocalSession()
    yield session
    session.close()


def plant(monkeypatch, prepare, **attributes):
    """Make ``get_variant`` return a linear unit with another ``prepare``."""
    variant = type("Planted", (LinearUnit,), {"prepare": lambda self, problem: prepare(problem), **attributes})()
    monkeypatch.setattr(local, "get_variant", lambda name: variant)


def right(problem):
    return LinearUnit().prepare(problem)


def test_a_right_variant_is_measured(session):
    (found,) = measure_set(session, [make_case(variant="lu", nm=0, mode="hot")], BRIEF)
    assert found.status == "ok"
    assert len(found.samples) >= 3
    assert [set(check) for check in found.checks] == [{"relative", "worst", "unwritten", "of_bound", "bias"}] * 2
    assert found.ledger["weights"] == 24 * 10 * 4


def test_a_wrong_variant_gets_no_time(session, monkeypatch):
    def wrong(problem):
        launch = right(problem)

        def run():
            launch()
            problem.y[0, 3] += 0.5

        return run

    plant(monkeypatch, wrong)
    with pytest.raises(CaseError, match=r"above .* \(before the timed loop\)") as caught:
        session.prepare(CASE)
    assert caught.value.status == "wrong"


def test_an_output_that_is_not_written_is_seen(session, monkeypatch):
    plant(monkeypatch, lambda problem: lambda: None)
    with pytest.raises(CaseError, match=r"10 output elements are NaN or were never written"):
        session.prepare(CASE)


def test_the_second_check_runs_what_was_timed_not_the_launch_beside_it(session, monkeypatch):
    plant(monkeypatch, right)
    session.prepare(CASE)
    # As a graph would whose capture missed the launch.
    monkeypatch.setattr(CpuTimer, "run_timed", lambda self: None)
    with pytest.raises(CaseError, match=r"never written \(after the timed loop\)"):
        session.finish(CASE)


def test_a_variant_that_remembers_its_first_answer_is_caught_after_the_timed_loop(session, monkeypatch):
    def remembering(problem):
        launch, kept = right(problem), []

        def run():
            if not kept:
                launch()
                kept.append(problem.y.clone())
            problem.y.copy_(kept[0])

        return run

    plant(monkeypatch, remembering)
    session.prepare(CASE)
    session.sample(CASE, 0.0, 3)
    with pytest.raises(CaseError, match=r"after the timed loop") as caught:
        session.finish(CASE)
    assert caught.value.status == "wrong"


def slow(problem, late=lambda problem: None):
    """A launch that is not run once more for its last check, and what it does besides from its second run on."""
    launch, runs = right(problem), []

    def run():
        time.sleep(SLOW_SECONDS)
        launch()
        if runs:
            late(problem)
        runs.append(1)

    run.runs = runs
    return run


def test_of_a_slow_launch_what_was_timed_is_checked(session, monkeypatch):
    made = []
    plant(monkeypatch, lambda problem: made.append(slow(problem)) or made[-1])
    case = make_case(variant="lu", nm=0, mode="hot")
    session.prepare(case)
    session.sample(case, 0.0, 1)
    runs = len(made[0].runs)
    assert session.finish(case).check["unwritten"] == 0
    assert len(made[0].runs) == runs
    session.prepare(case)
    assert session.finish(case).check["unwritten"] == 0
    assert len(made[1].runs) >= 2, "without a block there is nothing that was timed"


@pytest.mark.parametrize(
    ("late", "reason"),
    [
        (lambda problem: problem.y[0, :1].add_(0.5), r"above .* \(after the timed loop\)"),
        (lambda problem: problem.x.add_(1.0), r"changed x"),
        (lambda problem: problem.weight[0].add_(1.0), r"changed weight, 24 elements"),
    ],
)
def test_what_a_slow_launch_left_when_it_was_timed_has_to_be_right(session, monkeypatch, late, reason):
    plant(monkeypatch, lambda problem: slow(problem, late))
    case = make_case(variant="lu", nm=0, mode="hot")
    session.prepare(case)
    session.sample(case, 0.0, 1)
    with pytest.raises(CaseError, match=reason) as caught:
        session.finish(case)
    assert caught.value.status == "wrong"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("\n\n first line \nsecond"), "error", "ValueError: first line"),
        (ValueError(), "error", "ValueError: no message"),
        (MglubenchError("no kernel"), "error", "no kernel"),
        (UnavailableError("no compiler"), "unavailable", "no compiler"),
        (MemoryError(), "oom", "out of memory: no message"),
        (RuntimeError("CUDA out of memory. Tried"), "oom", "out of memory: CUDA out of memory. Tried"),
        (CaseError("unsupported", "not today"), "unsupported", "not today"),
    ],
)
def test_whatever_a_variant_raises_becomes_a_status_and_one_line(session, monkeypatch, error, status, reason):
    def fail(problem):
        raise error

    plant(monkeypatch, fail)
    with pytest.raises(CaseError) as caught:
        session.prepare(CASE)
    assert (caught.value.status, str(caught.value)) == (status, reason)


@pytest.fixture
def tiny_cache(monkeypatch):
    """A last-level cache of three copies of the case's layer, so that six take turns."""
    monkeypatch.setattr(local, "last_level_cache", lambda: 3 * 24 * 10 * 4)


def test_cold_launches_on_a_cpu_take_turns_over_copies_with_addresses_of_their_own(session, monkeypatch, tiny_cache):
    seen = []

    def noting(problem):
        launch = right(problem)

        def run():
            seen.append(problem.weight.data_ptr())
            launch()

        return run

    plant(monkeypatch, noting)
    prepared = session.prepare(make_case(variant="lu", nm=0, mode="cold"))
    assert "take turns over 6 copies" in prepared.timer
    assert len(set(seen)) == 6
    seen.clear()
    block = session.sample(make_case(variant="lu", nm=0, mode="cold"), 0.0, 12)
    assert len(block.samples) == len(block.copies) >= 1
    assert set(block.copies) <= set(range(6))
    assert block.settling >= 1


@pytest.mark.parametrize("name", ["swiglu", "swiglu-merged", "mglu-naive", "mglu-numba-cpu", "swiglu-numba-cpu"])
def test_every_copy_of_a_layer_is_right_and_its_own(session, tiny_cache, name):
    nm = 2 if name.startswith("mglu") else 0
    case = make_case(variant=name, nm=nm, mode="cold")
    session.prepare(case)
    problems = session._live[case].problems
    assert len(problems) > 1
    for matrix in ("weight", "weight_value"):
        assert len({getattr(problem, matrix).data_ptr() for problem in problems}) == len(problems)
    if nm:
        assert problems[0].mask_tensor(0).data_ptr() != problems[1].mask_tensor(0).data_ptr()
    session.finish(case)


@pytest.mark.parametrize("late", [False, True])
def test_a_copy_that_computes_something_else_is_caught(session, monkeypatch, tiny_cache, late):
    broken = []

    def odd(problem):
        launch = right(problem)

        def run():
            launch()
            if problem.copy == 3 and (broken or not late):
                problem.y[0, 1] += 1.0

        return run

    plant(monkeypatch, odd)
    case = make_case(variant="lu", nm=0, mode="cold")
    if late:
        session.prepare(case)
        broken.append(True)
    with pytest.raises(CaseError, match="after the timed loop" if late else "before the timed loop"):
        session.finish(case) if late else session.prepare(case)


def test_where_copies_do_not_fit_the_caches_are_walked_and_the_row_says_so(session, monkeypatch):
    walked = []
    monkeypatch.setattr(local.CpuEvictor, "__call__", lambda self: walked.append(1))
    prepared = session.prepare(make_case(variant="lu", nm=0, mode="cold"))
    assert "walked" in prepared.timer
    assert "so small a layer" in prepared.timer
    session.sample(make_case(variant="lu", nm=0, mode="cold"), 0.0, 2)
    assert walked


def test_the_walk_can_be_asked_for(session, tiny_cache):
    prepared = session.prepare(make_case(variant="lu", nm=0, mode="walk"))
    assert "walked" in prepared.timer
    assert "copies" not in prepared.timer


def starved_block(session, monkeypatch, waited, keep, mode="hot"):
    monkeypatch.setenv("MGLUBENCH_KEEP_STARVED", keep)
    monkeypatch.setattr(CpuMeter, "stop", lambda self: CpuReading(0.1, 1.5, waited, 0.0, 40.0))
    case = make_case(variant="lu", nm=0, mode=mode)
    session.prepare(case)
    return session.sample(case, 0.0, 3)


def test_a_walk_waits_for_its_own_threads_and_is_kept(session, monkeypatch):
    block = starved_block(session, monkeypatch, 1.4, "0", "walk")
    assert len(block.samples) >= 1
    assert (block.discarded, block.reason) == (0, "")
    assert block.telemetry[0]["waited"] == 1.4


def test_a_block_whose_threads_waited_for_a_core_is_discarded_and_counted(session, monkeypatch):
    block = starved_block(session, monkeypatch, 0.5, "0")
    assert (block.samples, block.copies) == ([], [])
    assert block.discarded >= 1
    assert "waited 50% of the time for a core" in block.reason
    pool = {"pool": pool_of("torch"), "bound": 0}
    assert block.telemetry == [{"cores": 1.5, "waited": 0.5, "stolen": 0.0, "involuntary": 40.0, **pool}]
    assert summarise(block.telemetry)["pool"].startswith("torch, ")


def test_a_block_that_got_its_cores_is_kept_and_so_is_any_if_asked_for(session, monkeypatch):
    for waited, keep in ((0.01, "0"), (0.5, "1")):
        block = starved_block(session, monkeypatch, waited, keep)
        assert len(block.samples) == len(block.copies) >= 1
        assert (block.discarded, block.reason) == (0, "")


def test_a_request_to_stop_is_not_swallowed(session, monkeypatch):
    def stop(problem):
        raise KeyboardInterrupt

    plant(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        session.prepare(CASE)


@pytest.mark.parametrize("fails_in", ["sample", "finish"])
def test_a_case_that_fails_late_is_released(session, monkeypatch, fails_in):
    tensors, failing = [], []

    def late(problem):
        launch = right(problem)
        tensors.append(weakref.ref(problem.y))

        def run():
            if failing:
                raise RuntimeError("late")
            launch()

        return run

    plant(monkeypatch, late)

    def observe(phase, case):
        if phase == fails_in:
            failing.append(True)

    if fails_in == "finish":
        original = session.finish
        monkeypatch.setattr(session, "finish", lambda case: (failing.append(True), original(case))[1])
    (found,) = measure_set(session, [CASE], BRIEF, observe)
    assert (found.status, found.reason) == ("error", "RuntimeError: late")
    del found
    gc.collect()
    assert tensors[0]() is None


def test_refusals_come_before_anything_is_allocated(session, monkeypatch):
    def must_not_run(problem):
        raise AssertionError("prepared")

    plant(monkeypatch, must_not_run)
    monkeypatch.setattr(local, "available_memory", lambda: 1000)
    for case, status, words in (
        (make_case(variant="lu", nm=0, mode="graph"), "unavailable", "mode graph needs CUDA"),
        (make_case(variant="lu", nm=0, batch=4096), "unsupported", "batch=4096 is above 1024"),
        (CASE, "oom", "needs 0.0 GB"),
    ):
        with pytest.raises(CaseError, match=words) as caught:
            session.prepare(case)
        assert caught.value.status == status


def test_cuda_is_refused_with_a_pointer_to_the_doctor(session, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match=r"no CUDA device can be used here.*mglubench doctor"):
        require_device("cuda")
    with pytest.raises(UnavailableError, match=r"doctor"):
        session.describe(("cuda",))
    require_device("cpu")


def test_a_gpu_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    require_device("cuda:0")
    with pytest.raises(UnavailableError, match=r"cuda:1 does not exist; this machine has 1 GPU"):
        require_device("cuda:1")
    with pytest.raises(UnavailableError, match="device cpu:1 is a name of a fleet's"):
        require_device("cpu:1")


def test_the_machine_is_described(session):
    described = session.describe(("cpu",))
    assert described.devices["cpu"].kind == "cpu"
    memory = described.memory["cpu"]
    assert 0 < memory.available <= memory.total == memory_of("cpu").total
    assert Machine.from_dict(json.loads(json.dumps(described.to_dict()))) == described
    assert "mglu-numba-cpu" not in described.unavailable["cpu"]


def test_inputs_are_shared_by_the_cases_of_a_setting(session):
    one, two = make_case(nm=1), make_case(nm=2, variant="mglu-premasked")
    session.prepare(one)
    session.prepare(two)
    assert session._live[one].problem.inputs is session._live[two].problem.inputs


def test_one_line_of_a_long_text_is_shortened():
    assert first_line(ValueError("x" * 1000)) == "x" * 400


class Clock:
    """Telemetry whose clock rises by one step with every stretch of work."""

    def __init__(self, readings):
        self.readings, self.work = readings, 0

    def read(self):
        return {"sm_mhz": self.readings[min(self.work, len(self.readings) - 1)]}

    def keep_busy(self, seconds):
        assert seconds > 0
        self.work += 1


@pytest.mark.parametrize(
    ("clocks", "work", "last"),
    [([1980], 0, 1980), ([345, 1200, 1900], 2, 1900), ([345], local.WAKE_TRIES, 345)],
    ids=["awake", "idle", "stuck"],
)
def test_an_idle_gpu_is_kept_busy_until_its_clock_is_up(clocks, work, last):
    clock = Clock(clocks)
    assert local._awake(clock, clock, 1980.0) == {"sm_mhz": last}
    assert clock.work == work


def test_a_card_that_tells_no_clock_is_taken_as_it_is():
    clock = Clock([345])
    assert local._awake(clock, clock, None) == {"sm_mhz": 345}
    assert clock.work == 0
