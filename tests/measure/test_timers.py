"""The clock of a GPU: what happens before, inside and after a sample, with a stand-in for torch."""

from __future__ import annotations

import gc
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from mglubench.measure import timers
from mglubench.measure.timers import CUDA_BATCH, CudaTimer, replicas_needed
from mglubench.system.collector import garbage_collection_off


def test_collection_stays_off_if_it_was_off():
    gc.disable()
    try:
        with garbage_collection_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


class StubCuda:
    """Enough of torch.cuda for the timer, writing down what is enqueued."""

    def __init__(self, log, milliseconds=0.25, l2=1 << 20):
        self.log, self.milliseconds, self.l2 = log, milliseconds, l2

    def get_device_properties(self, device):
        return SimpleNamespace(L2_cache_size=self.l2, clock_rate=1_000_000)

    def device(self, device):
        return nullcontext()

    def synchronize(self):
        self.log.append("synchronize")

    def _sleep(self, cycles):
        self.log.append(f"hold {'some' if cycles > 0 else 'no'} cycles")

    def Event(self, enable_timing):  # noqa: N802 - torch's name
        cuda = self

        class Event:
            def record(self):
                cuda.log.append("event")

            def elapsed_time(self, other):
                return cuda.milliseconds

        return Event()

    def Stream(self):  # noqa: N802 - torch's name
        return SimpleNamespace(wait_stream=lambda other: None)

    def current_stream(self):
        return SimpleNamespace(wait_stream=lambda other: None)

    def stream(self, stream):
        return nullcontext()

    def CUDAGraph(self):  # noqa: N802 - torch's name
        return SimpleNamespace(replay=lambda: self.log.append("replay"))

    def graph(self, graph):
        return nullcontext()


@pytest.fixture
def stub(monkeypatch):
    log = []
    flushed = []

    def empty(size, dtype, device):
        flushed.append(size * 4)
        return SimpleNamespace(zero_=lambda: log.append("write"))

    torch = SimpleNamespace(
        cuda=StubCuda(log), device=lambda name: name, empty=empty, int32=4, max=lambda buffer: log.append("read")
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(timers, "reset_persisting_l2", lambda: "persisting lines reset")
    monkeypatch.setattr(CudaTimer, "WARM_UP_SECONDS", 0.0)
    return SimpleNamespace(log=log, flushed=flushed)


def cuda_timer(stub, mode, launches=1):
    timer = CudaTimer([lambda k=k: stub.log.append(f"launch {k}") for k in range(launches)], mode, "cuda")
    timer.warm_up()
    stub.log.clear()
    return timer


def test_a_cold_cuda_sample_holds_the_stream_flushes_twice_the_l2_and_times_one_launch(stub):
    timer = cuda_timer(stub, "cold")
    samples = timer.sample(10.0, 2).samples
    one = ["hold some cycles", "write", "read", "event", "launch 0", "event"]
    assert stub.log == [*one, *one, "synchronize"]
    assert stub.flushed == [2 << 20]
    assert samples == [250_000.0] * 2
    assert "2 MiB written and read" in timer.description


def test_a_hot_cuda_sample_holds_several_launches_and_reports_the_time_of_one(stub):
    timer = cuda_timer(stub, "hot")
    samples = timer.sample(10.0, 1).samples
    count = stub.log.count("launch 0")
    assert 1 <= count <= 100
    assert samples == [pytest.approx(250_000.0 / count)]
    assert "write" not in stub.log
    assert f"{count} back-to-back launches" in timer.description


def test_a_graph_sample_replays_and_reports_the_time_of_one_launch(stub):
    timer = cuda_timer(stub, "graph", launches=5)
    samples = timer.sample(10.0, 1).samples
    assert stub.log == ["hold some cycles", "event", "replay", "event", "synchronize"]
    assert samples == [50_000.0]
    assert "graph of 5 launches" in timer.description


def test_what_was_timed_can_be_run_for_a_check(stub):
    graph = cuda_timer(stub, "graph", launches=2)
    graph.run_timed()
    assert stub.log == ["replay"]
    cold = cuda_timer(stub, "cold")
    assert stub.log == []
    cold.run_timed()
    assert stub.log == ["launch 0"]


def test_cuda_samples_are_enqueued_in_batches_up_to_the_limit(stub):
    timer = cuda_timer(stub, "cold")
    taken = timer.sample(10.0, CUDA_BATCH + 3)
    assert len(taken.samples) == CUDA_BATCH + 3
    assert taken.copies == [0] * len(taken.samples)
    assert taken.cpu is None
    assert stub.log.count("synchronize") == 2
    assert len(timer.sample(0.0, 1000).samples) == CUDA_BATCH


def test_graphs_rotate_over_more_than_twice_the_l2(stub):
    assert replicas_needed("cold", "cuda", 1) == 1
    assert replicas_needed("hot", "cuda", 1) == 1
    for resident in (1 << 18, 300_000, 1 << 20, 5 << 20):
        copies = replicas_needed("graph", "cuda", resident)
        assert copies * resident > 2 << 20
        assert copies >= 2
    assert replicas_needed("graph", "cuda", 0) == timers.REPLICAS_MAX
