"""How near the CPU kernels come to what memory gives: ``python -m tests.benchmarks.cpu_limit``, part of ``make bench``.

A fresh process holds copies of one matrix (and of its masks), and single launches of everything take turns over them in
random order: readers, layers and torch's GLU meet the same pages in the same seconds. One of the readers is C,
compiled here: the ceiling that the tool reports must be as good as what anybody can write. Promises are of the median
over five processes, for two cores.
"""

from __future__ import annotations

import ctypes
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mglubench.kernels.cpu_call import LAYOUT, glu_call, mglu_call, row_sums_call
from mglubench.kernels.stream_call import stream_sums_call
from mglubench.layer.masks import pack
from mglubench.variants.stream_read import StreamReadAhead, StreamReadStreams
from tests.benchmarks.recorded import Found, recorded

READER = Path(__file__).with_name("reader.c")
SHAPES, PROCESSES, COPIES, TURNS = ((2048, 8192), (4096, 14336)), 5, 3, 40
OF_CEILING = {1: 0.92, 2: 0.90, 4: 0.88, 8: 0.85}
OVER_GLU = {1: 1.75, 2: 1.65, 4: 1.5, 8: 1.35}
# Dtypes, and what is promised of them over float32 at nm = 1 and 8.
NARROW = {"bf16": ("bfloat16", 1.8, 1.3), "fp16": ("float16", 1.0, 1.0)}
C_FORMS = {"c plain": 0, "c ahead": 1, "c ahead, not kept": 2, "c one stream": 3, "c eight ahead": 4}
Launch = Callable[[int], object]


def main(arguments: list[str]) -> int:
    """Print one line per promise; 1 if any fails. With a shape as arguments, the figures of one process as JSON.

    ``--save FILE`` keeps what the processes found, ``--from FILE`` prints that again; ``--shape HxD`` before it leaves
    the other shapes out.
    """
    if len(arguments) == 2 and arguments[0].isdigit():
        print(json.dumps(measured(*map(int, arguments))))
        return 0
    shapes: tuple[tuple[int, int], ...] = SHAPES
    if arguments[:1] == ["--shape"]:
        h, d = map(int, arguments[1].split("x"))
        shapes, arguments = ((h, d),), arguments[2:]
    runs = recorded(arguments, lambda: [one_process(h, d) for h, d in shapes for _ in range(PROCESSES)])
    failed = False
    for h, d in dict.fromkeys((int(run["h"]), int(run["d"])) for run in runs):
        for holds, words in promises([run for run in runs if (run["h"], run["d"]) == (h, d)]):
            print(f"{'holds' if holds else 'FAILS'}  {h}x{d}: {words}")
            failed = failed or not holds
    return int(failed)


def one_process(h: int, d: int) -> Found:
    """What a fresh process finds at a shape."""
    command = (sys.executable, "-m", "tests.benchmarks.cpu_limit", str(h), str(d))
    found: Found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {"h": h, "d": d, **found}


def promises(told: list[dict[str, float]]) -> list[tuple[bool, str]]:
    """What was promised of bytes per nanosecond by name; ``told`` is one object a process."""
    results = []

    def judge(words: str, ratio: Callable[[dict[str, float]], float], least: float) -> None:
        found = [ratio(rates) for rates in told]
        middle = statistics.median(found)
        spread = f"({min(found):.3f} to {max(found):.3f})"
        results.append((middle >= least, f"{words}: {middle:.3f}, promised at least {least:g} {spread}"))

    def best(rates: dict[str, float], start: str) -> float:
        return max(rate for name, rate in rates.items() if name.startswith(start))

    if any(name.startswith("c ") for name in told[0]):
        judge("the ceiling over the best reader in C", lambda rates: best(rates, "read ") / best(rates, "c "), 0.97)
    for nm, least in OF_CEILING.items():
        judge(f"nm={nm} of the ceiling", lambda rates, nm=nm: rates[f"nm {nm}"] / best(rates, "read "), least)
    for nm, least in OVER_GLU.items():
        share = 64 / (32 + nm)
        words = f"nm={nm} over the fastest GLU"
        judge(words, lambda rates, nm=nm, share=share: share * rates[f"nm {nm}"] / best(rates, "glu "), least)
    judge("our GLU over torch's best", lambda rates: rates["glu ours"] / best(rates, "glu torch"), 1.0)
    for name, (words, one, eight) in NARROW.items():
        judge(f"{words}, nm=1, of the ceiling", lambda rates, n=name: rates[f"{n} 1"] / best(rates, "read "), 0.80)
        judge(f"{words} over float32, nm=1", lambda rates, n=name: 33 / 17 * rates[f"{n} 1"] / rates["nm 1"], one)
        judge(f"{words} over float32, nm=8", lambda rates, n=name: 40 / 24 * rates[f"{n} 8"] / rates["nm 8"], eight)
    return results


def measured(h: int, d: int) -> dict[str, float]:
    """Bytes per nanosecond of everything, medians over launches that take turns."""
    launches = prepared(h, d)
    times: dict[str, list[int]] = {name: [] for name in launches}
    order = list(launches)
    for turn in range(TURNS + 3):
        random.shuffle(order)
        for place, name in enumerate(order):
            start = time.perf_counter_ns()
            launches[name][1]((turn + place) % COPIES)
            if turn >= 3:
                times[name].append(time.perf_counter_ns() - start)
    return {name: launches[name][0] / statistics.median(taken) for name, taken in times.items()}


def prepared(h: int, d: int) -> dict[str, tuple[int, Launch]]:
    """Bytes of a launch and the launch, told which copy to read, by name."""
    generator = torch.Generator().manual_seed(0)
    wide = [torch.randn(d, h, generator=generator) / h**0.5]
    wide += [wide[0].clone() for _ in range(COPIES - 1)]
    narrow = {name: [weight.to(getattr(torch, words)) for weight in wide] for name, (words, _, _) in NARROW.items()}
    masks = np.random.default_rng(0).random((max(OF_CEILING), d, h), dtype=np.float32) < 0.5
    x, y, sums = torch.randn(1, h, generator=generator), torch.empty(1, d), torch.empty(d)
    size = 4 * h * d
    found: dict[str, tuple[int, Launch]] = {}

    def add(name: str, moved: int, calls: list[Callable[[], object]]) -> None:
        found[name] = moved, lambda copy: calls[copy]()

    for reader in (StreamReadStreams, StreamReadAhead):
        calls = [stream_sums_call(weight, reader.streams, reader.ahead) for weight in wide]
        add(f"read {reader.streams} rows, {reader.ahead} ahead", size, [lambda call=call: call(sums) for call in calls])
    calls = [row_sums_call(weight) for weight in wide]
    add("read rows", size, [lambda call=call: call(sums) for call in calls])
    if reader := compiled():
        for name, form in C_FORMS.items():
            add(name, size, [lambda w=weight, form=form: reader(w.data_ptr(), h * d, form) for weight in wide])
    for nm in OF_CEILING:
        packed = [torch.from_numpy(pack(masks[:nm], LAYOUT).data).clone() for _ in range(COPIES)]
        calls = [mglu_call(weight, packed[copy], nm, "silu") for copy, weight in enumerate(wide)]
        add(f"nm {nm}", size * (32 + nm) // 32, [lambda call=call: call(x, y) for call in calls])
        for name, weights in narrow.items() if nm in (1, 8) else ():
            calls = [mglu_call(weight, packed[copy], nm, "silu") for copy, weight in enumerate(weights)]
            xs, ys = x.to(weights[0].dtype), y.to(weights[0].dtype)
            launches = [lambda call=call, xs=xs, ys=ys: call(xs, ys) for call in calls]
            add(f"{name} {nm}", size * (16 + nm) // 32, launches)
    pairs = [(wide[copy], wide[(copy + 1) % COPIES]) for copy in range(COPIES)]
    calls = [glu_call(gate, value, "silu") for gate, value in pairs]
    add("glu ours", 2 * size, [lambda call=call: call(x, y) for call in calls])
    linear, silu = torch.nn.functional.linear, torch.nn.functional.silu
    add("glu torch", 2 * size, [lambda g=g, v=v: torch.mul(silu(linear(x, g)), linear(x, v), out=y) for g, v in pairs])
    for name in found:
        for copy in range(COPIES):
            found[name][1](copy)
    return found


def compiled() -> Callable[[int, int, int], float] | None:
    """The reader in C with two threads of its own, or ``None`` without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "reader.so"
        options = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-funroll-loops", "-ffast-math")
        subprocess.run((compiler, *options, str(READER), "-o", str(made)), check=True, capture_output=True)
        library = ctypes.CDLL(str(made))
    library.read_all.argtypes = (ctypes.c_void_p, ctypes.c_long, ctypes.c_int)
    library.read_all.restype = ctypes.c_float
    reader: Callable[[int, int, int], float] = library.read_all
    return reader


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
