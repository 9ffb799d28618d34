"""Does the saving survive fewer bits on a CPU: ``python -m tests.benchmarks.lowbit``, part of ``make bench``.

A fresh process holds copies of one layer in fp32, int8 and int4, more of each than caches hold, and launches of
everything take turns over them: ours, a GLU of the same quality, torch's own weight-only products, readers. Ratios are
of medians in one process; promises are of the median over five, for two cores.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mglubench.kernels.cpu_call import LAYOUT, glu_call, mglu_call
from mglubench.kernels.stream_call import stream_sums_call
from mglubench.layer.formats.weight_format import Quantised
from mglubench.layer.formats.weight_formats import FORMATS
from mglubench.layer.masks import pack
from mglubench.variants.torch_lowbit import torch_product

H, D, PROCESSES, TURNS = 2048, 8192, 5, 40
NMS = (1, 2, 4, 8)
# What the copies of a launch hold together: four times the largest cache of the machine of the promises.
HELD_BYTES = 128 << 20
OVER_GLU = {"int8": 1.5, "int4": 1.3}
OVER_FP32, OF_CEILING = 2.5, 0.75
Launch = Callable[[], object]
Figures = dict[str, dict[str, float]]


def main() -> int:
    """Print one line per promise; 1 if any fails. With ``once`` as argument, the figures of one process as JSON."""
    if sys.argv[1:] == ["once"]:
        print(json.dumps(measured()))
        return 0
    command = (sys.executable, "-m", "tests.benchmarks.lowbit", "once")
    told = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(PROCESSES)]
    results = promises(told)
    for holds, words in results:
        print(f"{'holds' if holds else 'FAILS'}  {words}")
    return 0 if all(holds for holds, _ in results) else 1


def promises(told: Sequence[Figures]) -> list[tuple[bool, str]]:
    """What was promised of each process's ``us`` and ``bytes`` by name; what was not is told and holds."""
    results = []

    def judge(words: str, figure: Callable[[Figures], float], least: float = 0.0) -> None:
        found = [figure(one) for one in told]
        promised = f", promised at least {least:g}" if least else ", no promise"
        spread = f" ({min(found):.3f} to {max(found):.3f})"
        middle = statistics.median(found)
        results.append((middle >= least, f"{words}: {middle:.3f}{promised}{spread}"))

    for name in OVER_GLU:
        for nm in NMS:
            own, glu = f"{name} nm {nm}", f"{name} glu "
            promised = OVER_GLU[name] if nm == 1 else 0.0
            judge(f"{name}, nm={nm} over the fastest {name} GLU", lambda one, a=own, b=glu: over(one, a, b), promised)
            shared = OF_CEILING if name == "int8" and nm <= 4 else 0.0
            judge(f"{name}, nm={nm} of the read ceiling", lambda one, a=own: share(one, a), shared)
    judge("int8 over float32, nm=1", lambda one: one["us"]["float32 nm 1"] / one["us"]["int8 nm 1"], OVER_FP32)
    return results


def over(figures: Figures, own: str, glu: str) -> float:
    """How many times as long the fastest GLU of a format takes."""
    return min(us for name, us in figures["us"].items() if name.startswith(glu)) / figures["us"][own]


def share(figures: Figures, own: str) -> float:
    """Bytes a time, of the best reader's."""
    rates = {name: figures["bytes"][name] / us for name, us in figures["us"].items()}
    return rates[own] / max(rate for name, rate in rates.items() if name.startswith("read "))


def measured() -> Figures:
    """Microseconds of everything, medians over launches that take turns, and their bytes."""
    launches = prepared()
    times: dict[str, list[int]] = {name: [] for name in launches}
    order = list(launches)
    for turn in range(TURNS + 3):
        random.shuffle(order)
        for name in order:
            _, calls = launches[name]
            start = time.perf_counter_ns()
            calls[turn % len(calls)]()
            if turn >= 3:
                times[name].append(time.perf_counter_ns() - start)
    middle = {name: statistics.median(taken) / 1e3 for name, taken in times.items()}
    return {"us": middle, "bytes": {name: float(moved) for name, (moved, _) in launches.items()}}


def prepared() -> dict[str, tuple[int, list[Launch]]]:
    """Bytes of a launch, and a launch for each copy, by name; all have run once."""
    generator = torch.Generator().manual_seed(0)
    gate, value = (torch.randn(D, H, generator=generator) / H**0.5 for _ in range(2))
    masks = np.random.default_rng(0).random((max(NMS), D, H), dtype=np.float32) < 0.5
    x, y, sums = torch.randn(1, H, generator=generator), torch.empty(1, D), torch.empty(D)
    found: dict[str, tuple[int, list[Launch]]] = {}

    def add(name: str, moved: int, make: Callable[[], Callable[..., object]], *operands: torch.Tensor) -> None:
        calls = [make() for _ in range(max(2, -(-HELD_BYTES // moved)))]
        found[name] = moved, [lambda call=call: call(*operands) for call in calls]
        for call in found[name][1]:
            call()

    def add_layers(name: str, one: torch.Tensor, two: torch.Tensor, nms: Sequence[int], weights: str) -> None:
        size = one.numel() * one.element_size()
        for nm in nms:
            packed = torch.from_numpy(pack(masks[:nm], LAYOUT).data)
            add(
                f"{name} nm {nm}",
                size + packed.numel(),
                lambda nm=nm, packed=packed: mglu_call(one.clone(), packed.clone(), nm, "silu", weights=weights),
                x,
                y,
            )
        add(f"{name} glu ours", 2 * size, lambda: glu_call(one.clone(), two.clone(), "silu", weights=weights), x, y)

    for ahead in (0, 512):
        add(f"read {ahead} ahead", 4 * H * D, lambda ahead=ahead: stream_sums_call(gate.clone(), 4, ahead), sums)
    add_layers("float32", gate, value, (1,), "same")
    for name in OVER_GLU:
        form = FORMATS[name]
        pair = form.quantise(gate), form.quantise(value)
        add_layers(name, form.cpu_rows(pair[0]), form.cpu_rows(pair[1]), NMS, name)
        add(f"{name} glu torch", 2 * form.nbytes(D, H), lambda pair=pair: torch_glu(*pair), x, y)
    return found


def torch_glu(gate: Quantised, value: Quantised) -> Callable[[torch.Tensor, torch.Tensor], object]:
    """torch's own products over copies of both matrices."""
    products = [torch_product(matrix.clone()) for matrix in (gate, value)]
    silu = torch.nn.functional.silu
    return lambda x, y: torch.mul(silu(products[0](x)), products[1](x), out=y)


if __name__ == "__main__":
    sys.exit(main())
