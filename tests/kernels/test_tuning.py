"""Launch choices: rules per kernel, the remembered table, and the search, without a GPU."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from mglubench.cases.case import Case
from mglubench.errors import CaseError, StoreError, UnavailableError, UsageError
from mglubench.executors.session import Block, Finished, Prepared
from mglubench.kernels.cpu_choice import GLU, MGLU, CpuKernel, chip_here
from mglubench.kernels.cuda_catalogue import BULK
from mglubench.kernels.occupancy import occupancy
from mglubench.kernels.tuning import NOTEBOOK, Choice, Found, Gpu, Job, forced, remember, remembered
from mglubench.runner import cpu_search, tune
from mglubench.variants.cuda_kernels import KERNELS, CudaVariant

HOPPER = Gpu("some hopper", "sm_90a", 132)
CONSUMER = Gpu("some blackwell", "sm_120a", 170)
JOB = Job("flash_mglu_mma", 2048, 8192, 8, 1, "float16")
CASE = Case("flash-mglu-mma", 2048, 8192, 8, 1, "float16", "silu", "bernoulli:0.5", "cold", "cuda")


def choose(job: Job, gpu: Gpu) -> Choice:
    kernel = next(kind.kernel for kind in KERNELS if kind.kernel.source == job.kernel)
    return kernel.choose(job, gpu)


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MGLUBENCH_TUNING", str(tmp_path / "folder" / "tuning.json"))
    return NOTEBOOK.path()


def test_a_choice_survives_the_table_and_belongs_to_one_gpu_and_job(table: Path) -> None:
    choice = Choice.of(2, WARPS=8, STAGES=1)
    assert remembered(HOPPER.name, JOB) is None
    remember(HOPPER.name, JOB, choice, 12_345.0)
    assert choose(JOB, HOPPER) == choice
    assert choose(JOB, CONSUMER) == Choice()
    assert choose(dataclasses.replace(JOB, nm=4), HOPPER) == Choice()
    other = Choice.of(WARPS=2)
    remember(HOPPER.name, dataclasses.replace(JOB, batch=2), other, 1.0)
    assert len(NOTEBOOK.read()) == 2
    assert choose(JOB, HOPPER) == choice
    assert [file.name for file in table.parent.iterdir() if file.suffix == ".tmp"] == []


def test_a_forced_choice_wins_inside_only() -> None:
    remember(HOPPER.name, JOB, Choice.of(WARPS=8), 1.0)
    with forced(Choice.of(WARPS=2)):
        assert choose(JOB, HOPPER) == Choice.of(WARPS=2)
    assert choose(JOB, HOPPER) == Choice.of(WARPS=8)


@pytest.mark.parametrize(
    "entry", [3, {}, [], {"macros": 1, "split_k": 0}, {"macros": {"MGLU_WARPS": "x"}, "split_k": 0}]
)
def test_a_damaged_entry_is_one_line(table: Path, entry: object) -> None:
    table.parent.mkdir()
    table.write_text(json.dumps({"version": 1, "choices": {JOB.key(HOPPER.name): entry}}))
    with pytest.raises(UsageError, match=r"is not a tuning table: some hopper/flash_mglu_mma.*delete it") as caught:
        choose(JOB, HOPPER)
    assert "\n" not in str(caught.value)
    assert choose(JOB, CONSUMER) == Choice()


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99, "choices": {}}', '{"version": 1}'])
def test_a_damaged_table_is_one_line(table: Path, text: str) -> None:
    table.parent.mkdir()
    table.write_text(text)
    with pytest.raises(UsageError) as refused:
        choose(JOB, HOPPER)
    assert str(table) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unwritable_table_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MGLUBENCH_TUNING", str(tmp_path / "file" / "tuning.json"))
    with pytest.raises((StoreError, UsageError)):
        remember(HOPPER.name, JOB, Choice(), 1.0)


def test_rules_fit_the_gpu_and_the_shape() -> None:
    for nm in (1, 2, 4, 6, 8, 16):
        bulk = Job("flash_mglu_bulk", 4096, 14336, nm, 1, "float16")
        assert choose(bulk, HOPPER) == Choice()
        assert BULK.fits(nm, choose(bulk, CONSUMER), "sm_120a")
    assert choose(Job("flash_mglu_packed", 2048, 256, 1, 1, "float16"), HOPPER) == Choice.of(ROWS=1)
    assert choose(Job("flash_mglu_packed", 2048, 8192, 1, 1, "float16"), HOPPER) == Choice()


@pytest.mark.parametrize("kind", KERNELS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("arch", ["sm_90a", "sm_120a"])
@pytest.mark.parametrize("nm", [1, 8, 16])
def test_the_usual_launch_has_room_on_every_architecture(kind: type[CudaVariant], arch: str, nm: int) -> None:
    block = kind.kernel.block(arch, nm)
    assert occupancy(arch, block.threads, 128, block.shared_bytes).blocks >= 1


@pytest.mark.parametrize("kind", KERNELS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("nm", [1, 8, 16])
def test_candidates_begin_with_the_rule_and_all_fit(kind: type[CudaVariant], nm: int) -> None:
    job = Job(kind.kernel.source, 2048, 8192, nm, 1, "float16")
    found = kind.kernel.candidates(job, HOPPER)
    assert found[0] == choose(job, HOPPER)
    assert len(set(found)) == len(found) > 5
    assert all(kind.kernel.fits(nm, choice, HOPPER.arch) for choice in found)


class Stage:
    """A session whose latency depends on the choice that is in force."""

    def __init__(self, best: Choice, gain: float) -> None:
        self.best, self.gain, self.abandoned = best, gain, 0

    def describe(self, devices: tuple[str, ...]) -> dict[str, object]:
        return {}

    def prepare(self, case: Case) -> Prepared:
        choice = remembered("any", JOB)
        assert choice is not None
        if choice.get("STAGES", 2) == 1:
            raise CaseError("wrong", "planted")
        self.now = 1000.0 * (1 - self.gain if choice == self.best else 1)
        return Prepared({}, {}, "", {})

    def sample(self, case: Case, seconds: float, most: int) -> Block:
        return Block([self.now] * 5, 0, [], seconds)

    def finish(self, case: Case) -> Finished:
        return Finished({}, 0.0)

    def abandon(self, case: Case) -> None:
        self.abandoned += 1

    def close(self) -> None:
        pass


def test_the_search_keeps_the_fastest_that_is_right(table: Path) -> None:
    best = Choice.of(1, WARPS=8, STAGES=2, L2_PREFETCH=256)
    session = Stage(best, gain=0.2)
    seen = []
    trials = tune.search(session, CASE, HOPPER, 0.1, seen.append)
    kept = tune.keep(CASE, HOPPER, trials)
    assert (kept.choice, kept.median_ns) == (best, 800.0)
    assert len(seen) == len(trials)
    assert session.abandoned == sum(trial.median_ns is None for trial in trials) > 0
    assert trials[-1].reason == "planted"
    assert choose(JOB, HOPPER) == best
    assert json.loads(table.read_text())["choices"][JOB.key(HOPPER.name)]["median_ns"] == 800.0


def test_a_near_tie_keeps_the_rule() -> None:
    trials = tune.search(Stage(Choice.of(1, WARPS=8, STAGES=2, L2_PREFETCH=256), gain=0.005), CASE, HOPPER, 0.1)
    assert trials[0].choice == Choice()


def test_nothing_is_remembered_if_nothing_works(table: Path) -> None:
    with pytest.raises(UnavailableError, match="planted"):
        tune.keep(CASE, HOPPER, [tune.Trial(Choice(), None, "planted")])
    assert not table.exists()


def test_only_kernels_with_choices_can_be_tuned() -> None:
    with pytest.raises(UsageError, match="no launch choices"):
        tune.tunable("swiglu")


SMALL = Case("mglu-numba-cpu", 64, 96, 1, 1, "float32", "silu", "bernoulli:0.5", "cold", "cpu")


def test_a_cpu_kernel_is_tuned_and_made_as_found(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, chip = MGLU.job(64, 96, 1, 1, "float32"), chip_here()
    monkeypatch.setattr(MGLU, "_shapes", {})
    assert MGLU.shape(job) == MGLU.made(job, MGLU.rule(job, chip))
    planned = tune.plan_search(SMALL)
    assert planned.choices[0] == MGLU.rule(job, chip)
    wanted = planned.choices[-1]
    assert wanted != planned.choices[0]

    def found(*arguments: object) -> list[Found]:
        return [Found(choice, 800.0 if choice == wanted else 1000.0) for choice in planned.choices]

    monkeypatch.setattr(tune, "search_on_cpu", found)
    row = tune.tune_case(planned, 0.1)
    assert (row["choice"], row["failed"]) == (str(wanted), 0)
    assert MGLU.shape(job) == MGLU.made(job, wanted)
    assert MGLU.shape(MGLU.job(64, 97, 1, 1, "float32")) != MGLU.made(job, wanted)
    # What no loop can be made of, in a table that somebody wrote, is not made.
    remember(chip.name, job, Choice.of(ROWS=3, UNROLL=2, AHEAD=0), 1.0)
    MGLU.forget()
    assert MGLU.shape(job) == MGLU.made(job, MGLU.rule(job, chip))


@pytest.mark.parametrize("kernel", [MGLU, GLU], ids=["mglu", "glu"])
def test_a_search_on_a_cpu_times_what_is_right(kernel: CpuKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    job = kernel.job(64, 96, 0 if kernel.gated else 2, 2, "bfloat16")
    choices, seen = kernel.candidates(job, chip_here())[:2], []
    done = cpu_search.search_on_cpu(kernel, job, choices, 0.01, seen.append)
    assert [found.choice for found in done] == choices == seen
    assert all(0 < found.median_ns < math.inf for found in done)

    def planted(kernel: CpuKernel, job: Job, choice: Choice, operands: object) -> object:
        def call(x: torch.Tensor, y: torch.Tensor) -> None:
            y.fill_(1.0 + choices.index(choice))

        return call

    monkeypatch.setattr(cpu_search, "_call", planted)
    first, second = cpu_search.search_on_cpu(kernel, job, choices, 0.01, seen.append)
    assert first.median_ns < math.inf == second.median_ns
