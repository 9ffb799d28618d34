"""The call path of the CUDA kernels with a library that only takes notes: arguments, slices, choices, workspaces."""

from __future__ import annotations

import ctypes
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from mglubench.errors import BuildError
from mglubench.kernels import cuda_call, cuda_kernel
from mglubench.kernels.cuda_build import Target
from mglubench.kernels.cuda_call import Operands, best_of, bind, enqueue
from mglubench.kernels.cuda_catalogue import BULK, MMA, PACKED, SHIPPED, SWIGLU
from mglubench.kernels.cuda_kernel import CudaKernel
from mglubench.kernels.cuda_library import MgluArgs
from mglubench.kernels.tuning import NOTEBOOK, Choice, Gpu, forced, remember

HOPPER, AMPERE = Gpu("some hopper", "sm_90a", 132), Gpu("some ampere", "sm_80", 108)
SHAPE = {"h": 64, "d": 32, "nm": 2, "batch": 1, "dtype": "float16"}


@dataclass
class Noted:
    """One launch: which library, with what, where."""

    library: str
    args: MgluArgs
    stream: int


@dataclass
class Library:
    """Takes notes instead of launching; needs as much workspace as rows and tokens say, once k is split."""

    target: Target
    layout: str
    notes: list[Noted]
    prepared: int = 0

    def prepare(self, args: MgluArgs) -> None:
        self.prepared += 1

    def workspace_bytes(self, args: MgluArgs) -> int:
        return args.d * args.batch * args.split_k

    def launch(self, args: MgluArgs, stream: int) -> None:
        kept = MgluArgs()
        ctypes.pointer(kept)[0] = args
        self.notes.append(Noted(self.target.label, kept, stream))


@dataclass
class Machine:
    """A GPU that is not there."""

    gpu: Gpu = HOPPER
    stream: int = 7
    capturing: bool = False
    notes: list[Noted] = field(default_factory=list)
    libraries: list[Library] = field(default_factory=list)

    @property
    def workspaces(self) -> list[int | None]:
        return [note.args.workspace for note in self.notes]


class Stream:
    def __init__(self, pointer: int) -> None:
        self.cuda_stream = pointer

    def synchronize(self) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine()

    def library(kernel: CudaKernel, target: Target) -> Library:
        made.libraries.append(Library(target, kernel.layout, made.notes))
        return made.libraries[-1]

    monkeypatch.setenv("MGLUBENCH_TUNING", str(tmp_path / "tuning.json"))
    monkeypatch.setattr(CudaKernel, "library", library)
    monkeypatch.setattr(cuda_call, "gpu_of", lambda device: made.gpu)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream(made.stream))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: made.capturing)
    cuda_call.forget()
    yield made
    cuda_call.forget()


def operands(h: int = 64, d: int = 32, nm: int = 2) -> Operands:
    return Operands(torch.zeros(d, h, dtype=torch.float16), h, nm, torch.zeros(d * h * nm // 8, dtype=torch.uint8))


def call(machine: Machine, layer: Operands, tokens: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.zeros(tokens, layer.h, dtype=torch.float16)
    y = torch.zeros(tokens, layer.weight.shape[0], dtype=torch.float16)
    enqueue(SHIPPED, layer, x, y, "gelu")
    return x, y


def tuned(kernel: CudaKernel, choice: Choice, median_ns: float, gpu: Gpu = HOPPER, **changes: int) -> None:
    remember(gpu.name, kernel.job(**{**SHAPE, **changes}), choice, median_ns)


def test_without_tuning_it_is_the_default_kernel_by_its_rule(machine: Machine) -> None:
    call(machine, operands())
    assert machine.notes[0].library == "flash_mglu_mma-nm2-float16-sm_90a"
    assert best_of(SHIPPED, **SHAPE, gpu=HOPPER) == (MMA, Choice())


def test_a_tuned_bulk_kernel_ships_where_it_was_faster(machine: Machine) -> None:
    ring = Choice.of(1, RING=4)
    tuned(MMA, Choice.of(WARPS=8), 2000.0)
    tuned(BULK, ring, 1500.0)
    call(machine, operands())
    call(machine, operands(d=48))
    assert [note.library for note in machine.notes] == [
        "flash_mglu_bulk-nm2-float16-sm_90a-ring4",
        "flash_mglu_mma-nm2-float16-sm_90a",
    ]
    assert machine.notes[0].args.split_k == 1


@pytest.mark.parametrize(
    ("mma", "bulk", "gpu", "expected"),
    [
        (1000.0, 1500.0, HOPPER, (MMA, Choice.of(WARPS=8))),
        (None, 1500.0, HOPPER, (BULK, Choice.of(RING=4))),
        (2000.0, None, HOPPER, (MMA, Choice.of(WARPS=8))),
        (2000.0, 1500.0, AMPERE, (MMA, Choice.of(WARPS=8))),
        (None, 1500.0, AMPERE, (MMA, Choice())),
    ],
)
def test_the_faster_of_what_is_remembered_and_can_run(
    machine: Machine, mma: float | None, bulk: float | None, gpu: Gpu, expected: tuple[CudaKernel, Choice]
) -> None:
    if mma:
        tuned(MMA, Choice.of(WARPS=8), mma, gpu)
    if bulk:
        tuned(BULK, Choice.of(RING=4), bulk, gpu)
    assert best_of(SHIPPED, **SHAPE, gpu=gpu) == expected
    with forced(Choice.of(WARPS=2)):
        assert best_of(SHIPPED, **SHAPE, gpu=gpu) == expected, "a search tries its own kernel, not the operator's"


def test_an_entry_without_a_time_is_used_and_loses_against_any(machine: Machine) -> None:
    key = BULK.job(**SHAPE).key(HOPPER.name)
    NOTEBOOK.change(lambda entries: {**entries, key: {"macros": {"MGLU_RING": 4}, "split_k": 0}})
    assert best_of(SHIPPED, **SHAPE, gpu=HOPPER) == (BULK, Choice.of(RING=4))
    tuned(MMA, Choice.of(WARPS=8), 1e9)
    assert best_of(SHIPPED, **SHAPE, gpu=HOPPER) == (MMA, Choice.of(WARPS=8))


def test_the_table_is_read_once_per_shape(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    call(machine, operands(), tokens=3)
    monkeypatch.setattr(cuda_call, "best_of", lambda *_, **__: pytest.fail("looked up again"))
    call(machine, operands(), tokens=3)
    assert [library.prepared for library in machine.libraries] == [1]


def test_arguments_and_slices_of_tokens(machine: Machine) -> None:
    layer = operands(h=61)
    layer = Operands(torch.zeros(32, 64, dtype=torch.float16), 61, layer.nm, layer.masks)
    x, y = call(machine, layer, tokens=35)
    assert [note.args.batch for note in machine.notes] == [16, 16, 3]
    assert [note.args.x - x.data_ptr() for note in machine.notes] == [0, 16 * 61 * 2, 32 * 61 * 2]
    assert [note.args.y - y.data_ptr() for note in machine.notes] == [0, 16 * 32 * 2, 32 * 32 * 2]
    args = machine.notes[0].args
    assert (args.h, args.d, args.nm, args.w_row_stride, args.activation, args.sm_count) == (61, 32, 2, 64, 1, 132)
    assert layer.masks is not None
    assert (args.w, args.masks, args.w2) == (layer.weight.data_ptr(), layer.masks.data_ptr(), None)
    assert {note.stream for note in machine.notes} == {7}


def test_a_workspace_is_kept_per_stream_and_shape(machine: Machine) -> None:
    # d x batch is 64 for both shapes: as large, but their counters lie elsewhere.
    tuned(MMA, Choice.of(1), 1.0, batch=2)
    tuned(MMA, Choice.of(1), 1.0, d=64)
    for _ in range(2):
        for stream in (7, 8):
            machine.stream = stream
            call(machine, operands(), tokens=2)
            call(machine, operands(d=64))
    first, again = machine.workspaces[:4], machine.workspaces[4:]
    assert first == again
    assert len(set(first)) == 4
    assert None not in first


def test_what_needs_no_workspace_gets_none(machine: Machine) -> None:
    call(machine, operands())
    assert machine.workspaces == [None]


def test_a_capture_gets_a_workspace_that_is_zeroed_in_its_graph(machine: Machine) -> None:
    tuned(MMA, Choice.of(1), 1.0)
    call(machine, operands())
    made: list[int] = []
    zeros = torch.zeros

    def counted(*size: int, **options: object) -> torch.Tensor:
        made.append(zeros(*size, **options).numel())
        return zeros(*size, **options)

    machine.capturing = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "zeros", counted)
        layer = operands()
        made.clear()
        x, y = torch.empty(1, 64, dtype=torch.float16), torch.empty(1, 32, dtype=torch.float16)
        enqueue(SHIPPED, layer, x, y, "silu")
        enqueue(SHIPPED, layer, x, y, "silu")
    assert made == [32, 32], "every captured launch zeroes its own"
    machine.capturing = False
    call(machine, operands())
    assert machine.workspaces[-1] == machine.workspaces[0], "what was captured is not what the stream keeps"


def test_a_workspace_is_allocated_outside_the_thread_whose_memory_may_be_a_graph_s(machine: Machine) -> None:
    import threading

    threads: list[int] = []
    zeros = torch.zeros
    tuned(MMA, Choice.of(1), 1.0)
    with pytest.MonkeyPatch.context() as patch:
        layer = operands()
        x, y = torch.empty(1, 64, dtype=torch.float16), torch.empty(1, 32, dtype=torch.float16)
        patch.setattr(torch, "zeros", lambda *size, **options: threads.append(threading.get_ident()) or zeros(*size))
        enqueue(SHIPPED, layer, x, y, "silu")
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_a_bound_launch_has_a_workspace_of_its_own(machine: Machine) -> None:
    tuned(MMA, Choice.of(2), 1.0)
    layer, x, y = operands(), torch.zeros(1, 64, dtype=torch.float16), torch.zeros(1, 32, dtype=torch.float16)
    one, two = bind(MMA, layer, x, y, "silu"), bind(MMA, layer, x, y, "silu")
    for launch in (one, two, one):
        launch()
    first, second, third = machine.workspaces
    assert first == third != second
    assert one.workspace_bytes == 64


LIBRARY = """
#include "launch_abi.h"
extern "C" {
int mglu_launch(const MgluArgs*, void*) { return 0; }
int mglu_prepare(const MgluArgs*) { return 0; }
size_t mglu_workspace_bytes(const MgluArgs*) { return 0; }
int mglu_abi_version(void) { return MGLU_ABI_VERSION; }
const char* mglu_mask_layout(void) { return "row-1024"; }
const char* mglu_weight_format(void) { return "same"; }
}
"""


def test_a_library_that_reads_another_layout_is_refused_at_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from tests.kernels.test_cuda_library import compile_here

    if shutil.which("g++") is None:
        pytest.skip("no g++ on PATH")
    made = compile_here(tmp_path, LIBRARY, "-shared", "-fPIC")
    monkeypatch.setattr(cuda_kernel, "build", lambda target: made)
    assert PACKED.library(PACKED.target("sm_90a", 2, "float16", Choice())).mask_layout == "row-1024"
    for kernel, packed in ((MMA, "mma-16x64"), (SWIGLU, "")):
        with pytest.raises(BuildError, match=f"layout 'row-1024', they are packed in '{packed}'") as refused:
            kernel.library(kernel.target("sm_90a", 2, "float16", Choice()))
        assert "\n" not in str(refused.value)
