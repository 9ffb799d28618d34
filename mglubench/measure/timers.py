"""Clocks: how one launch becomes latencies in nanoseconds, per device and mode.

CPU: see :mod:`~mglubench.measure.cpu_timer`.

CUDA: events around the launch. The stream is held by a spinning kernel while the host enqueues, so that host launch
cost is not in the sample. ``cold`` writes and then reads a buffer of twice the L2 before each sample (the read leaves
the L2 full of clean lines; dirty ones would be written back at the sample's expense) and resets persisting lines.
``hot`` times back-to-back launches over one buffer. ``graph`` replays a captured graph that rotates over buffers whose
sum exceeds twice the L2.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mglubench.hardware.cpu_readings import CpuReading
from mglubench.system.collector import garbage_collection_off

Launch = Callable[[], None]
CUDA_MODES = ("cold", "hot", "graph")
HOT_SAMPLE_NS = 200_000
REPLICAS_MAX = 128
# Enough enqueued work to amortise a synchronisation, little enough to stay below the driver's queue length.
CUDA_BATCH = 16


@dataclass(frozen=True, slots=True)
class Taken:
    """What one block of a case gave.

    Attributes:
        samples: latencies in nanoseconds, in the order in which they were taken.
        copies: number of the copy of the layer (its preparation) that each sample ran on, as many as samples.
        settling: launches before them that were run and not kept, because the pools were still waking up.
        cpu: what the process got of the cores meanwhile; ``None`` where the device is no CPU.
    """

    samples: list[float]
    copies: list[int]
    settling: int = 0
    cpu: CpuReading | None = None


class Timer(ABC):
    """Samples one launch in one mode.

    Attributes:
        description: how cold was made cold, how many launches a sample holds; kept with every row.
    """

    description: str = ""

    @abstractmethod
    def warm_up(self) -> None:
        """Run until code, clocks and pools are warm."""

    @abstractmethod
    def keep_busy(self, seconds: float) -> None:
        """Run the launch for so long, at least once, without taking samples."""

    @abstractmethod
    def run_timed(self) -> None:
        """Run once what samples time, so that what was timed can be checked; may return before it is done."""

    @abstractmethod
    def sample(self, seconds: float, most: int) -> Taken:
        """At least one and at most ``most`` latencies for about ``seconds``, settling not counted."""


class CudaTimer(Timer):
    """CUDA events; see the module's docstring for the modes."""

    WARM_UP_SECONDS = 0.05
    SPIN_MARGIN_SECONDS = 30e-6

    def __init__(self, launches: list[Launch], mode: str, device: str) -> None:
        import torch

        self._torch, self._mode, self._device = torch, mode, torch.device(device)
        self._launches = launches
        properties = torch.cuda.get_device_properties(self._device)
        self._l2 = int(getattr(properties, "L2_cache_size", 0)) or 64 << 20
        self._clock_hz = 1e3 * float(getattr(properties, "clock_rate", 0) or 2e6)
        self._per_sample = 1
        self._graph: Any = None
        self._flush: Any = None
        self._spin = 0
        self.description = ""

    def warm_up(self) -> None:
        """Run, calibrate the spinning kernel and the launches per sample, capture the graph."""
        self.keep_busy(self.WARM_UP_SECONDS)
        with self._torch.cuda.device(self._device):
            getattr(self, f"_set_up_{self._mode}")()
            self._spin = self._calibrate_spin()

    def keep_busy(self, seconds: float) -> None:
        """All launches, again and again, never far ahead of the device."""
        torch = self._torch
        with torch.cuda.device(self._device):
            end = time.perf_counter() + seconds
            self._run_all()
            torch.cuda.synchronize()
            while time.perf_counter() < end:
                self._run_all()
                torch.cuda.synchronize()

    def run_timed(self) -> None:
        """The graph's replay, or the launches of one sample: a capture that missed a launch leaves its y unwritten."""
        with self._torch.cuda.device(self._device):
            self._timed()

    def sample(self, seconds: float, most: int) -> Taken:
        """Batches of enqueued samples, read back together."""
        torch, samples = self._torch, list[float]()
        end = time.perf_counter() + seconds
        with torch.cuda.device(self._device), garbage_collection_off():
            while not samples or (len(samples) < most and time.perf_counter() < end):
                wanted = min(CUDA_BATCH, most - len(samples))
                pairs = [self._enqueue() for _ in range(wanted)]
                torch.cuda.synchronize()
                samples += [start.elapsed_time(stop) * 1e6 / self._per_sample for start, stop in pairs]
        return Taken(samples, [0] * len(samples))

    def _enqueue(self) -> tuple[Any, Any]:
        torch = self._torch
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(self._spin)
        if self._flush is not None:
            self._flush.zero_()
            torch.max(self._flush)
        start.record()
        self._timed()
        stop.record()
        return start, stop

    def _timed(self) -> None:
        if self._graph is not None:
            self._graph.replay()
            return
        launch = self._launches[0]
        for _ in range(self._per_sample):
            launch()

    def _run_all(self) -> None:
        for launch in self._launches:
            launch()

    def _set_up_cold(self) -> None:
        reset = reset_persisting_l2()
        self._flush = self._torch.empty(2 * self._l2 // 4, dtype=self._torch.int32, device=self._device)
        self.description = f"{2 * self._l2 / 2**20:.0f} MiB written and read before each sample; {reset}"

    def _set_up_hot(self) -> None:
        start = time.perf_counter_ns()
        self._launches[0]()
        self._torch.cuda.synchronize()
        once = max(1, time.perf_counter_ns() - start)
        self._per_sample = max(1, min(100, math.ceil(HOT_SAMPLE_NS / once)))
        self.description = f"{self._per_sample} back-to-back launches per sample over one buffer"

    def _set_up_graph(self) -> None:
        torch = self._torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._run_all()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run_all()
        graph.replay()
        torch.cuda.synchronize()
        self._graph, self._per_sample = graph, len(self._launches)
        self.description = f"graph of {self._per_sample} launches over buffers of their own, time per launch"

    def _calibrate_spin(self) -> int:
        """Cycles to hold the stream for: what the host needs to enqueue one sample, and a margin."""
        self._torch.cuda.synchronize()
        start = time.perf_counter()
        self._timed()
        host = time.perf_counter() - start
        self._torch.cuda.synchronize()
        return int((1.5 * host + self.SPIN_MARGIN_SECONDS) * self._clock_hz)


def replicas_needed(mode: str, device: str, resident_bytes: int) -> int:
    """How many copies of a layer ``graph`` rotates over so that their sum exceeds twice the L2; 1 otherwise."""
    if mode != "graph":
        return 1
    import torch

    l2 = int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)) or 64 << 20
    return max(2, min(REPLICAS_MAX, math.ceil(2 * l2 / max(1, resident_bytes)) + 1))


def reset_persisting_l2() -> str:
    """Drop persisting L2 lines; says whether it could."""
    try:
        from cuda.bindings import runtime

        (status,) = runtime.cudaCtxResetPersistingL2Cache()
    except Exception:
        # cuda-bindings is optional beside an older numba-cuda; nothing of ours sets persisting lines.
        return "persisting lines not reset (no cuda-bindings)"
    return "persisting lines reset" if int(status) == 0 else f"persisting lines not reset (CUDA error {int(status)})"
