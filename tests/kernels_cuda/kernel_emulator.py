"""Compile kernel sources with g++ and run them on the CPU, one fiber per CUDA thread.

Host emulation of kernel source, not a GPU run: it checks arithmetic, indexing and synchronisation against the
documented semantics of CUDA and PTX, never speed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from mglubench.kernels.cuda_build import FORMAT_CODES
from mglubench.layer.formats.tiles import tiles_of
from mglubench.layer.formats.weight_format import Quantised
from mglubench.layer.masks import pack

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels_cuda"
EMU = Path(__file__).resolve().parent / "emu"
CACHE = Path(tempfile.gettempdir()) / f"mglubench-emulation-{os.getuid()}"

SANITIZERS = {
    "": [],
    "asan": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "tsan": ["-fsanitize=thread"],
}
# Without a sanitizer's runtime: an address off its type's alignment stops the program as it stops a GPU, and so does a
# shift by more bits than there are, of which the two make different things.
ALWAYS = ["-fsanitize=alignment,shift", "-fsanitize-undefined-trap-on-error"]
SILU, GELU, RELU = 0, 1, 2
# What a caller can get wrong about a pointer: it is null, or lies a few bytes off.
FAULTS = ("", "no w", "no w2", "no masks", "no x", "no y", "no workspace")
FAULTS += ("w off by 2", "w2 off by 2", "masks off by 8", "x off by 1", "y off by 1", "workspace off by 8")
ORDERS = {"forward": 0, "reverse": 1, "random": 2}
LAYOUTS = {"flash_mglu_paper": "bytes", "flash_mglu_packed": "row-1024", "flash_mglu_mma": "mma-16x64"}
LAYOUTS |= {"flash_mglu_bulk": "mma-16x64", "flash_mglu_routed": "mma-16x64-planes"}


@dataclass(frozen=True)
class Library:
    """One kernel source at one specialisation, possibly with a textual change (a planted bug)."""

    kernel: str
    nm: int = 1
    bf16: bool = False
    weights: str = "same"  # format of w and w2
    sanitizer: str = ""
    defines: tuple[str, ...] = ()
    patch: tuple[str, str, str] | None = None  # file, text, replacement
    replaced: tuple[str, str] | None = None  # file, its whole text instead
    optimize: str = "-O2"
    seconds: float = 240.0  # after which a run has hung


@dataclass
class Problem:
    """Inputs of one case as float64 (exactly representable in the element type) and how to run them."""

    w: np.ndarray  # [d, h]
    x: np.ndarray  # [batch, h]
    masks: np.ndarray | None = None  # [nm, d, h] bool
    w2: np.ndarray | None = None  # [d, h]
    gates: np.ndarray | None = None  # a router's weights [batch, nm], 0 where a token does not keep a mask
    activation: int = SILU
    bf16: bool = False
    pad_columns: int = 0  # extra multiples of 8 in the row stride
    split_k: int = 0
    sm_count: int = 0
    order: str = "forward"
    seed: int = 1
    concurrent_blocks: bool = False
    launches: int = 1
    x_offset: int = 0  # elements by which x is moved off its 16-byte alignment
    y_offset: int = 0  # elements by which y is moved off its 16-byte alignment
    prepare: bool = True  # whether mglu_prepare is called before the launches
    fault: str = ""  # one of FAULTS, committed by the caller
    status: int = 0  # what the launch has to answer
    workspace: int = -1  # bytes of workspace that it has to ask for; -1: any
    zero_bytes: int = -1  # bytes of the workspace that the caller zeroes; -1: all
    overrides: dict[str, int] = field(default_factory=dict)
    stored: Quantised | None = None  # w, and w2, where the library takes a format: w and w2 are what they stand for
    stored2: Quantised | None = None

    def with_order(self, order: str, seed: int = 1) -> Problem:
        return replace(self, order=order, seed=seed)


class EmulationError(AssertionError):
    """The program broke a CUDA rule, or a sanitizer stopped it."""


def skip_reason(sanitizer: str = "") -> str | None:
    """Why nothing can be run here, or None."""
    if shutil.which("g++") is None:
        return "no g++ on PATH"
    if not sanitizer:
        return None
    CACHE.mkdir(exist_ok=True)
    probe = CACHE / f"probe-{sanitizer}-{os.getpid()}"
    source = probe.with_suffix(".cpp")
    source.write_text("int main() { return 0; }\n")
    built = _execute(["g++", *SANITIZERS[sanitizer], str(source), "-o", str(probe)])
    works = built.returncode == 0 and _execute([str(probe)]).returncode == 0
    source.unlink()
    probe.unlink(missing_ok=True)
    return None if works else f"g++ has no working {sanitizer} runtime"


def build_probe(bf16: bool, replaced: tuple[str, str] | None = None) -> Path:
    """The device functions of element.cuh as a shared library."""
    sources = {path.name: path.read_text() for path in (*KERNELS.glob("*.cuh"), *KERNELS.glob("*.h"), *EMU.glob("*.*"))}
    if replaced:
        sources[replaced[0]] = replaced[1]
    target = CACHE / f"probe-{hashlib.sha256(repr((sorted(sources.items()), bf16)).encode()).hexdigest()[:24]}.so"
    CACHE.mkdir(exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            runtime = str(_object("simt.cpp", sources, ["-std=c++17", "-O2", "-fPIC"]))
            with tempfile.TemporaryDirectory(prefix="build-", dir=CACHE) as folder:
                for name, text in sources.items():
                    (Path(folder) / name).write_text(text)
                command = ["g++", "-std=c++17", "-O1", "-Wno-unknown-pragmas", f"-DMGLU_BF16={int(bf16)}", "-fPIC"]
                command += ["-shared", "-I", folder, "-include", "cuda_emu.h", "element_probe.cpp", "-x", "none"]
                done = _execute([*command, runtime, "-o", "probe.so"], cwd=folder)
                assert done.returncode == 0, f"g++ failed for the probe\n{done.stderr[-4000:]}"
                (Path(folder) / "probe.so").rename(target)
    return target


def build(library: Library) -> Path:
    """Path of the driver program for a library, compiled once per content of the sources and flags."""
    sources = _sources(library)
    flags = [
        "-std=c++17",
        "-g1" if library.sanitizer else "-g0",
        "-O1" if library.sanitizer else library.optimize,
        "-Wall",
        "-Wextra",
        "-Wno-unknown-pragmas",
        *(ALWAYS if library.sanitizer != "asan" else []),
        *SANITIZERS[library.sanitizer],
    ]
    defines = [f"-DMGLU_NM={library.nm}", f"-DMGLU_BF16={int(library.bf16)}", *(f"-D{d}" for d in library.defines)]
    defines += [f"-DMGLU_FORMAT={FORMAT_CODES.get(library.weights, 0)}"]
    digest = hashlib.sha256(repr((sorted(sources.items()), flags, defines, library.kernel)).encode()).hexdigest()[:24]
    program = CACHE / f"{library.kernel}-{digest}"
    CACHE.mkdir(exist_ok=True)
    with FileLock(f"{program}.lock"):
        if not program.exists():
            _compile(library, sources, flags, defines, program)
    return program


def run(library: Library, problems: list[Problem]) -> list[list[np.ndarray]]:
    """y of every launch of every problem, float64 [batch, d]. Raises EmulationError, or AssertionError on a status."""
    results = run_statuses(library, problems)
    for problem, (status, _) in zip(problems, results, strict=True):
        assert status == problem.status, f"status {status} for d={problem.w.shape[0]} h={problem.w.shape[1]}: {library}"
    return [outputs for _, outputs in results]


def run_statuses(library: Library, problems: list[Problem]) -> list[tuple[int, list[np.ndarray]]]:
    program = build(library)
    with tempfile.TemporaryDirectory(prefix="mglu-emu-") as folder:
        cases, results = Path(folder) / "cases", Path(folder) / "results"
        cases.write_bytes(struct.pack("<i", len(problems)) + b"".join(_encode(library, p) for p in problems))
        environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66", "ASAN_OPTIONS": "detect_leaks=0"}
        try:
            done = _execute([str(program), str(cases), str(results)], env=environment, timeout=library.seconds)
        except subprocess.TimeoutExpired:
            raise EmulationError(f"no end after {library.seconds:g} s: {library}") from None
        if done.returncode != 0:
            raise EmulationError(f"exit status {done.returncode}\n{done.stderr[-3000:]}\n{library}")
        return _decode(library, problems, results.read_bytes())


def reference(problem: Problem) -> np.ndarray:
    """The definition in float64, [batch, d]."""
    if problem.masks is None and problem.w2 is None:  # stream_read
        return np.broadcast_to(problem.w.sum(axis=1), (len(problem.x), len(problem.w)))
    if problem.masks is None:
        assert problem.w2 is not None
        with np.errstate(invalid="ignore"):
            return activate(problem.x @ problem.w.T, problem.activation) * (problem.x @ problem.w2.T)
    y = np.zeros((problem.x.shape[0], problem.w.shape[0]))
    with np.errstate(invalid="ignore"):  # 0 times infinity is NaN, as in the definition
        for i, mask in enumerate(problem.masks):
            gate = problem.x @ (mask * problem.w).T
            value = problem.x @ (~mask * problem.w).T
            weight = 1.0 if problem.gates is None else problem.gates[:, i, None]
            y += weight * (activate(gate, problem.activation) * value)
    return y


def activate(v: np.ndarray, activation: int) -> np.ndarray:
    if activation == RELU:
        return np.maximum(v, 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        if activation == SILU:
            return v / (1.0 + np.exp(-v))
        return 0.5 * v * (1.0 + _erf(v / np.sqrt(2.0)))


def to_bits(values: np.ndarray, bf16: bool) -> np.ndarray:
    """Nearest fp16 | bf16 numbers as uint16 bits."""
    if not bf16:
        return values.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def from_bits(bits: np.ndarray, bf16: bool) -> np.ndarray:
    if not bf16:
        return bits.view(np.float16).astype(np.float64)
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def rounded(values: np.ndarray, bf16: bool) -> np.ndarray:
    """Values as the element type holds them."""
    return from_bits(to_bits(values, bf16), bf16)


def _erf(v: np.ndarray) -> np.ndarray:
    import math

    return np.vectorize(math.erf, otypes=[np.float64])(v)


def _sources(library: Library) -> dict[str, str]:
    files = [*KERNELS.glob("*.cuh"), *KERNELS.glob("*.h"), KERNELS / f"{library.kernel}.cu", *EMU.glob("*.*")]
    sources = {path.name: path.read_text() for path in files}
    if library.replaced:
        sources[library.replaced[0]] = library.replaced[1]
    if library.patch:
        name, text, replacement = library.patch
        assert sources[name].count(text) == 1, f"{name} holds {sources[name].count(text)} times {text!r}"
        sources[name] = sources[name].replace(text, replacement)
    return sources


def _compile(library: Library, sources: dict[str, str], flags: list[str], defines: list[str], program: Path) -> None:
    runtime = _object("simt.cpp", sources, ["-std=c++17", "-O2"])  # never instrumented by a sanitizer
    driver = _object("driver.cpp", sources, ["-std=c++17", "-O2", *SANITIZERS[library.sanitizer]])
    with tempfile.TemporaryDirectory(prefix="build-", dir=CACHE) as folder:
        for name, text in sources.items():
            (Path(folder) / name).write_text(text)
        command = ["g++", *flags, *defines, "-I", folder, "-include", "cuda_emu.h", "-x", "c++", f"{library.kernel}.cu"]
        command += ["-x", "none", str(driver), str(runtime), "-o", "program"]
        done = _execute(command, cwd=folder)
        assert done.returncode == 0, f"g++ failed for {library}\n{done.stderr[-4000:]}"
        assert library.patch or library.replaced or not done.stderr, f"g++ warns for {library}\n{done.stderr[-4000:]}"
        (Path(folder) / "program").rename(program)


def _object(name: str, sources: dict[str, str], flags: list[str]) -> Path:
    """A file of the emulation that does not depend on the kernel, compiled once."""
    text = "".join(sources[used] for used in (name, "simt.h", "launch_abi.h"))
    target = CACHE / f"{name}-{hashlib.sha256((text + repr(flags)).encode()).hexdigest()[:24]}.o"
    with FileLock(f"{target}.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix="build-", dir=CACHE) as folder:
                for used in (name, "simt.h", "launch_abi.h"):
                    (Path(folder) / used).write_text(sources[used])
                done = _execute(["g++", *flags, "-c", name, "-o", "object"], cwd=folder)
                assert done.returncode == 0, done.stderr
                (Path(folder) / "object").rename(target)
    return target


def _encode(library: Library, problem: Problem) -> bytes:
    d, h = problem.w.shape
    stride = -(-h // 8) * 8 + 8 * problem.pad_columns if problem.stored is None else -(-h // 64) * 64
    fields = {
        "h": h,
        "d": d,
        "nm": library.nm,
        "batch": problem.x.shape[0],
        "w_row_stride": stride,
        "activation": problem.activation,
        "split_k": problem.split_k,
        "sm_count": problem.sm_count,
        "order": ORDERS[problem.order],
        "seed": problem.seed,
        "concurrent_blocks": int(problem.concurrent_blocks),
        "launches": problem.launches,
        "x_offset": problem.x_offset,
        "y_offset": problem.y_offset,
        "zero_bytes": problem.zero_bytes,
        "prepare": int(problem.prepare),
        "fault": FAULTS.index(problem.fault),
        "y_elements": problem.x.shape[0] * d,
    }
    assert set(problem.overrides) <= set(fields)
    header = struct.pack("<18i", *{**fields, **problem.overrides}.values())
    masks = b"" if problem.masks is None else pack(problem.masks, LAYOUTS[library.kernel]).data.tobytes()
    if problem.gates is not None:
        # Planes behind the last one that is kept are not even there: reading them is reading out of bounds.
        last = int(np.flatnonzero(problem.gates.any(axis=0)).max(initial=-1))
        masks = masks[: len(masks) // problem.gates.shape[1] * (last + 1)] or bytes(16)
    buffers = [b"", b"", masks, to_bits(problem.x, problem.bf16).tobytes()]
    for place, (w, stored) in enumerate(((problem.w, problem.stored), (problem.w2, problem.stored2))):
        if w is not None:
            buffers[place] = _rows(w, stride, problem.bf16) if stored is None else tiles_of(stored).numpy().tobytes()
    if problem.gates is not None:
        buffers[1] = to_bits(problem.gates, problem.bf16).tobytes()
    return header + b"".join(struct.pack("<q", len(data)) + data for data in buffers)


def _rows(w: np.ndarray, stride: int, bf16: bool) -> bytes:
    """Rows padded to the stride with NaN: what lies beyond h must never be used."""
    padded = np.full((w.shape[0], stride), np.nan)
    padded[:, : w.shape[1]] = w
    return to_bits(padded, bf16).tobytes()


def _decode(library: Library, problems: list[Problem], data: bytes) -> list[tuple[int, list[np.ndarray]]]:
    results = []
    abi, *names = struct.unpack_from("<i32s32s", data)
    identity = (abi, *(name.rstrip(b"\0").decode() for name in names))
    assert identity == (1, LAYOUTS.get(library.kernel, ""), library.weights), f"{library}: identity"
    at = 68
    for problem in problems:
        shape = (problem.x.shape[0], problem.w.shape[0])
        status, workspace = struct.unpack_from("<iq", data, at)
        at += 12
        assert problem.workspace in (-1, workspace), f"workspace of {workspace}, not {problem.workspace}: {library}"
        outputs = []
        for _ in range(problem.launches):
            bits = np.frombuffer(data, np.uint16, shape[0] * shape[1], at).reshape(shape)
            outputs.append(from_bits(bits, problem.bf16))
            at += bits.nbytes
        results.append((status, outputs))
    assert at == len(data), f"{library}: {len(data) - at} bytes too many"
    return results


def _execute(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
