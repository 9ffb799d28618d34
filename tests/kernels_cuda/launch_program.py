"""Drive one of nvcc's kernel libraries on the stand-in device; prints what came out as JSON.

Started by test_kernel_launches.py with the kernel's name and, to show that it is noticed, a fault to commit. Only
ctypes stands between this program and the runtime: it holds the addresses, streams and graphs itself.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import numpy as np

from mglubench.kernels.cuda_build import Target, build
from mglubench.kernels.cuda_library import KernelLibrary, MgluArgs
from mglubench.layer.masks import pack
from tests.kernels_cuda.kernel_emulator import LAYOUTS, Problem, from_bits, reference, rounded, to_bits

H, D, NM, BATCH = 512, 48, 2, 2
TO_DEVICE, TO_HOST = 1, 2
CAPTURE_GLOBAL = 0

cuda = ctypes.CDLL("libcudart.so.13")
Pointer = ctypes.c_void_p


def check(status: int) -> None:
    assert status == 0, f"CUDA error {status}"


def pointer(function: Any, *args: Any) -> Pointer:
    made = Pointer()
    check(function(ctypes.byref(made), *args))
    return made


def to_device(data: bytes) -> Pointer:
    buffer = pointer(cuda.cudaMalloc, ctypes.c_size_t(len(data)))
    check(cuda.cudaMemcpy(buffer, data, ctypes.c_size_t(len(data)), TO_DEVICE))
    return buffer


def problem_of(kernel: str, seed: int) -> Problem:
    random = np.random.default_rng(seed)
    w = rounded(random.standard_normal((D, H)) / np.sqrt(H), False)
    x = rounded(random.standard_normal((BATCH, H)), False)
    if kernel == "swiglu_fused":
        return Problem(w, x, w2=rounded(random.standard_normal((D, H)) / np.sqrt(H), False))
    if kernel == "stream_read":
        return Problem(w, x)
    masks = random.random((NM, D, H)) < 0.5
    gates = np.array([[0.5, 0.0], [0.25, 0.0]]) if kernel == "flash_mglu_routed" else None
    return Problem(w, x, masks=masks, gates=gates)


def main(kernel: str, fault: str = "") -> dict[str, Any]:
    problem = problem_of(kernel, 1)
    nm = 0 if problem.masks is None else NM
    library = KernelLibrary(build(Target(kernel, nm, "float16", "sm_90a")))
    masks = b"" if problem.masks is None else pack(problem.masks, LAYOUTS[kernel]).data.tobytes()
    second = problem.w2 if problem.gates is None else problem.gates
    w2 = None if second is None else to_device(to_bits(second, False).tobytes())
    y_bytes = 2 * BATCH * D
    x, y = to_device(to_bits(problem.x, False).tobytes()), to_device(b"\xff" * y_bytes)
    args = MgluArgs(
        w=to_device(to_bits(problem.w, False).tobytes()), masks=to_device(masks) if masks else None, x=x, y=y
    )
    args.w2, args.h, args.d, args.nm, args.batch, args.w_row_stride, args.sm_count = w2, H, D, nm, BATCH, H, 132
    if fault != "unprepared":
        library.prepare(args)
    if size := library.workspace_bytes(args):
        args.workspace = to_device(bytes(size)).value

    def result() -> float:
        """Relative error of y as it is; NaN if an element was not written."""
        host = ctypes.create_string_buffer(y_bytes)
        check(cuda.cudaMemcpy(host, y, ctypes.c_size_t(y_bytes), TO_HOST))
        values = from_bits(np.frombuffer(host.raw, np.uint16), False).reshape(BATCH, D)
        sums = np.broadcast_to(problem.w.sum(axis=1), (BATCH, D))
        expected = sums if kernel == "stream_read" else reference(problem)
        return float(np.linalg.norm(values - expected) / np.linalg.norm(expected))

    def poison() -> None:
        check(cuda.cudaMemset(y, 0xFF, ctypes.c_size_t(y_bytes)))
        check(cuda.cudaDeviceSynchronize())

    out: dict[str, Any] = {}
    side, other = (pointer(cuda.cudaStreamCreateWithPriority, 1, 0) for _ in range(2))

    # 1. Enqueued on the stream that was asked for, and on no other: draining others leaves y as it was.
    assert side.value is not None
    stream = 0 if fault == "default stream" else side.value
    library.launch(args, stream)
    check(cuda.cudaStreamSynchronize(other))
    out["before its stream is synchronised"] = result()
    check(cuda.cudaStreamSynchronize(side))
    out["launch"] = result()

    # 2. Captured: nothing runs before the replay, and a replay reads what is in x by then.
    poison()
    check(cuda.cudaStreamBeginCapture(side, CAPTURE_GLOBAL))
    if fault == "allocates":
        check(cuda.cudaMalloc(ctypes.byref(Pointer()), ctypes.c_size_t(64)))
    library.launch(args, stream)
    graph = pointer(_end_capture, side)
    executable = pointer(cuda.cudaGraphInstantiateWithFlags, graph, ctypes.c_ulonglong(0))
    check(cuda.cudaDeviceSynchronize())
    out["captured"] = result()
    for seed in (2, 3):
        problem.x = problem_of(kernel, seed).x
        data = to_bits(problem.x, False).tobytes()
        check(cuda.cudaMemcpy(x, data, ctypes.c_size_t(len(data)), TO_DEVICE))
        poison()
        check(cuda.cudaGraphLaunch(executable, side))
        check(cuda.cudaStreamSynchronize(side))
        out[f"replay {seed}"] = result()
    return out


def _end_capture(graph: Any, stream: Pointer) -> int:
    return int(cuda.cudaStreamEndCapture(stream, graph))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
