"""Planning: ``auto`` becomes what the machine offers, groups fit its memory, the absurd is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mglubench.cases.config import build_spec
from mglubench.comparison import NAIVE_FAMILY
from mglubench.errors import UnavailableError, UsageError
from mglubench.executors.fake import FakeSession
from mglubench.executors.machine import Memory
from mglubench.runner.plan import make_plan
from mglubench.variants.registry import get_variant, variants


class Machine(FakeSession):
    """A fake machine with so much memory."""

    def __init__(self, total, **options):
        super().__init__(**options)
        self.total = total

    def describe(self, devices):
        described = super().describe(devices)
        return replace(described, memory=dict.fromkeys(described.memory, Memory(self.total, self.total)))


def plan(session=None, **options):
    return make_plan(build_spec({"shape": "64x96", "nm": "1,2", **options}), session or FakeSession())


def test_auto_takes_every_default_variant_that_runs_here():
    found = plan()
    assert found.spec.device == ("cpu",)
    assert found.spec.dtype == ("float32",)
    expected = {name for name, variant in variants().items() if variant.default and "cpu" in variant.devices}
    assert set(found.spec.variants) == expected
    assert all("cpu" not in get_variant(name).devices for name in found.unavailable)


def test_on_a_gpu_auto_means_float16():
    found = plan(FakeSession(cuda=True))
    assert (found.spec.device, found.spec.dtype) == (("cuda",), ("float16",))
    assert found.unavailable["mglu-numba-cpu"] == "runs on cpu only"


def test_a_named_variant_that_cannot_run_here_becomes_a_case_and_an_unnamed_one_does_not():
    session = FakeSession(cuda=True)
    named = {case.variant for case in plan(session, variants="lu,mglu-numba-cpu").cases}
    assert "mglu-numba-cpu" in named
    assert "mglu-numba-cpu" not in {case.variant for case in plan(session).cases}


def test_on_two_devices_each_gets_the_variants_that_run_there():
    cases = plan(FakeSession(cuda=True), device="cpu,cuda").cases
    devices = {case.device for case in cases if case.variant == "mglu-numba-cpu"}
    assert devices == {"cpu"}
    assert {case.device for case in cases if case.variant == "lu"} == {"cpu", "cuda"}


@pytest.mark.parametrize("name", ["swiglo", "lu,swiglo", "-swiglo"])
def test_unknown_variants_are_refused_before_the_machine_is_asked(name):
    class Unasked(FakeSession):
        def describe(self, devices):
            raise AssertionError("asked")

    with pytest.raises(UsageError, match=r"unknown variant 'swiglo'"):
        plan(Unasked(), variants=name)


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(UnavailableError, match=r"no CUDA device"):
        plan(device="cuda")


def test_the_reads_are_measured_with_the_layers_and_far_exceed_the_caches():
    product, *reads, rest = plan(variants="lu").cases
    readers = ["stream-read", "stream-read-streams", "stream-read-ahead"]
    assert [(read.variant, read.mode) for read in reads] == [(name, "cold") for name in readers]
    assert (product.variant, rest.variant) == ("matrix-product", "lu")
    assert [len(group.cases) for group in plan(variants="lu").sets] == [1, 4]
    assert all(read.elements * read.itemsize >= 128 << 20 for read in reads)
    assert (product.dtype, product.batch) == ("float32", 512)
    assert [case.variant for case in plan(variants="lu", ceiling=False).cases] == ["lu"]


def test_a_gpu_has_ceilings_of_memory_l2_tensor_cores_and_cuda_cores():
    class WithL2(FakeSession):
        def describe(self, devices):
            described = super().describe(devices)
            return replace(described, devices={"cuda": replace(described.devices["cuda"], l2_bytes=50 << 20)})

    cases = plan(WithL2(cuda=True), variants="lu", dtype="bfloat16,float16").cases
    found = [(c.variant, c.mode, c.elements * c.itemsize >> 20) for c in cases if c.variant.startswith("stream-read")]
    reads = sorted(dict.fromkeys(found), key=lambda read: (read[1], found.index(read)))
    assert len(found) == len(reads) + 4, "both dtypes' sets hold the cold reads"
    names = ("stream-read", "stream-read-cuda")
    cold = [(name, "cold", megabytes) for megabytes in (1024, 0) for name in names]
    assert reads == [*cold, *((name, "hot", 25) for name in names)]
    products = [case.dtype for case in cases if case.variant == "matrix-product"]
    assert products == ["bfloat16", "float16", "float32"]


def test_a_gpu_reads_the_matrix_of_each_shape_beside_the_large_buffer():
    given = {"shape": "64x96,128x256", "dtype": "bfloat16,float16,float32", "mode": "cold,hot", "variants": "lu"}
    sets = plan(FakeSession(cuda=True), **given).sets
    for group in sets:
        layers = [case for case in group.cases if case.variant == "lu"]
        if layers and layers[0].mode == "cold":
            reads = [case for case in group.cases if case.variant == "stream-read"]
            own = [(case.h, case.d, case.itemsize) for case in reads if case.elements * case.itemsize < 1 << 30]
            assert own == [(layers[0].h, layers[0].d, layers[0].itemsize)]
            assert len(reads) == 2
        elif layers:
            assert group.cases == tuple(layers)


def test_a_gpu_meets_the_whole_naive_family():
    found = {case.variant for case in plan(FakeSession(cuda=True), nm="1", dtype="float16", device="cuda").cases}
    assert set(NAIVE_FAMILY) <= found


def test_a_small_machine_has_no_ceiling():
    assert [case.variant for case in plan(Machine(1 << 28), variants="lu").cases] == ["lu"]


def test_shapes_beyond_the_memory_are_refused():
    with pytest.raises(UsageError, match=r"shape 64x96 with nm=0 needs .* GB for its inputs, cpu has 0 GB"):
        plan(Machine(50_000))


def test_the_header_holds_the_sweep_and_the_machine():
    header = plan(name="mine").header()
    assert header["name"] == "mine"
    assert header["fake"] is True
    assert header["cases"] == len(plan().cases)
    assert header["sweep"]["shapes"] == ["64x96"]
    assert {"cpu", "packages", "python", "command", "time", "devices", "memory"} <= set(header["environment"])
