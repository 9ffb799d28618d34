"""Drive the operator's call path on the stand-in device: streams, what is kept per stream, captures; prints JSON.

Started by test_kernel_launches.py. The libraries are nvcc's; of torch there are twins of the few things that the call
path asks of it, over the runtime's own calls, since a CPU build of torch has no streams.
"""

from __future__ import annotations

import ctypes
import json
import threading
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from mglubench.kernels import cuda_call
from mglubench.kernels.cuda_call import Operands, enqueue
from mglubench.kernels.cuda_catalogue import SHIPPED
from mglubench.kernels.tuning import Gpu
from mglubench.layer.masks import pack
from tests.kernels_cuda.kernel_emulator import Problem, from_bits, reference, rounded, to_bits
from tests.kernels_cuda.launch_program import CAPTURE_GLOBAL, TO_DEVICE, TO_HOST, Pointer, check, cuda, pointer

# Few rows and many columns: the launch splits k, so it needs a workspace. 19 tokens are two launches.
H, D, NM, TOKENS = 2048, 40, 2, 19
DEVICE = torch.device("cuda:0")
main_thread = threading.get_ident()


class Buffer:
    """Device memory as the call path sees a tensor."""

    device, dtype = DEVICE, torch.float16

    def __init__(self, address: int, *shape: int) -> None:
        self.address, self.shape = address, shape

    def data_ptr(self) -> int:
        return self.address

    def __getitem__(self, part: slice) -> Buffer:
        rows = range(*part.indices(self.shape[0]))
        return Buffer(self.address + rows.start * self.shape[1] * 2, len(rows), self.shape[1])


class Stream:
    def __init__(self, handle: int) -> None:
        self.cuda_stream = handle

    def synchronize(self) -> None:
        check(cuda.cudaStreamSynchronize(Pointer(self.cuda_stream)))


class Machine:
    """The current stream, and memory that a capture takes from a pool since it may not allocate."""

    def __init__(self) -> None:
        self.stream = 0
        self.zeroed: list[tuple[int, bool]] = []
        self.pool = [allocate(1 << 20) for _ in range(8)]

    def current(self, device: object = None) -> Stream:
        return Stream(self.stream if threading.get_ident() == main_thread else 0)

    def capturing(self) -> bool:
        status = ctypes.c_int()
        check(cuda.cudaStreamIsCapturing(Pointer(self.current().cuda_stream), ctypes.byref(status)))
        return status.value == 1

    def zeros(self, size: int, **options: object) -> Buffer:
        captured = self.capturing()
        address = self.pool.pop() if captured else allocate(size)
        self.zeroed.append((size, captured))
        stream = Pointer(self.current().cuda_stream)
        check(cuda.cudaMemsetAsync(Pointer(address), 0, ctypes.c_size_t(size), stream))
        return Buffer(address, size)


def allocate(size: int) -> int:
    address = pointer(cuda.cudaMalloc, ctypes.c_size_t(size)).value
    assert address is not None
    check(cuda.cudaMemset(Pointer(address), 0xA5, ctypes.c_size_t(size)))
    return address


class Call:
    """One x and y on the device, and the answer."""

    def __init__(self, operands: Operands, layer: Problem) -> None:
        self.operands, self.layer = operands, layer
        self.x, self.y = Buffer(allocate(2 * TOKENS * H), TOKENS, H), Buffer(allocate(2 * TOKENS * D), TOKENS, D)

    def load(self, seed: int) -> None:
        x = rounded(np.random.default_rng(seed).standard_normal((TOKENS, H)), False)
        self.problem = Problem(self.layer.w, x, masks=self.layer.masks)
        write(self.x.address, to_bits(x, False).tobytes())
        check(cuda.cudaMemset(Pointer(self.y.address), 0xFF, ctypes.c_size_t(2 * TOKENS * D)))
        check(cuda.cudaDeviceSynchronize())

    def enqueue(self) -> None:
        enqueue(SHIPPED, self.operands, self.x, self.y, "silu")

    def error(self) -> float:
        host = ctypes.create_string_buffer(2 * TOKENS * D)
        check(cuda.cudaMemcpy(host, Pointer(self.y.address), ctypes.c_size_t(len(host.raw)), TO_HOST))
        values = from_bits(np.frombuffer(host.raw, np.uint16), False).reshape(TOKENS, D)
        expected = reference(self.problem)
        return float(np.linalg.norm(values - expected) / np.linalg.norm(expected))


def write(address: int, data: bytes) -> None:
    check(cuda.cudaMemcpy(Pointer(address), data, ctypes.c_size_t(len(data)), TO_DEVICE))


def layer_on_device() -> tuple[Operands, Problem]:
    random = np.random.default_rng(1)
    w = rounded(random.standard_normal((D, H)) / np.sqrt(H), False)
    masks = random.random((NM, D, H)) < 0.5
    packed = pack(masks, SHIPPED[0].layout).data.tobytes()
    weight, bits = Buffer(allocate(2 * D * H), D, H), Buffer(allocate(len(packed)), len(packed))
    write(weight.address, to_bits(w, False).tobytes())
    write(bits.address, packed)
    return Operands(weight, H, NM, bits), Problem(w, np.zeros((TOKENS, H)), masks=masks)


def main() -> dict[str, Any]:
    machine = Machine()
    torch.zeros = machine.zeros
    torch.cuda.device = lambda device: nullcontext()
    torch.cuda.current_stream = machine.current
    torch.cuda.is_current_stream_capturing = machine.capturing
    cuda_call.gpu_of = lambda device: Gpu("stand-in", "sm_90a", 132)
    calls = [Call(*layer_on_device()) for _ in range(2)]
    calls[1].operands, calls[1].layer = calls[0].operands, calls[0].layer
    streams = [pointer(cuda.cudaStreamCreateWithPriority, 1, 0).value or 0 for _ in range(2)]
    out: dict[str, Any] = {}

    def together(name: str, works: list[Any]) -> None:
        """Enqueue on both streams before either is waited for."""
        for seed, call in enumerate(calls):
            call.load(10 * len(out) + seed)
        for stream, work in zip(streams, works, strict=True):
            machine.stream = stream
            work()
        for stream in streams:
            check(cuda.cudaStreamSynchronize(Pointer(stream)))
        out[name] = [call.error() for call in calls]

    eager = [call.enqueue for call in calls]
    together("two streams", eager)
    kept = len(machine.zeroed)
    together("two streams again", eager)
    out["zeroed for the second time"] = len(machine.zeroed) - kept
    graphs = []
    for call in calls:
        # Captured one after the other on one stream, as torch.cuda.graph does, and replayed on two.
        machine.stream = streams[0]
        check(cuda.cudaStreamBeginCapture(Pointer(streams[0]), CAPTURE_GLOBAL))
        call.enqueue()
        graph = Pointer()
        check(cuda.cudaStreamEndCapture(Pointer(streams[0]), ctypes.byref(graph)))
        graphs.append(pointer(cuda.cudaGraphInstantiateWithFlags, graph, ctypes.c_ulonglong(0)))
    out["zeroed in captures"] = [captured for _, captured in machine.zeroed[kept:]]
    replays = [lambda graph=graph: check(cuda.cudaGraphLaunch(graph, Pointer(machine.stream))) for graph in graphs]
    together("replays", replays)
    together("replays again", replays)
    together("eager after captures", eager)
    together("a replay beside a call", [replays[0], eager[1]])
    return out


if __name__ == "__main__":
    print(json.dumps(main()))
