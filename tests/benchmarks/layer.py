"""What the layer promises of its training: lean against plain, beside a SwiGLU's projections. Run by ``make bench``.

One thread, forward and backward. Each sample times all arms one after the other, a ratio is of neighbours and the
median of a process's samples, and every process is fresh. Exit code 1 if a promise does not hold.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from mglubench.nn import SwiMGLU
from tests.benchmarks.recorded import Found, head, recorded, row, spread

PROCESSES = 5
# By number of masks: as many as take about as long as those of many masks, which differ the more from 1.
SAMPLES = {1: 15, 2: 9, 4: 5, 8: 4, 16: 3}
# h, d, tokens, numbers of masks: as many tokens as h, where masked copies of W count, and many more, where they do not.
SHAPES = ((512, 2048, 512, (1, 2, 4, 8, 16)), (512, 2048, 2048, (1, 4)))
FASTER, FASTER_FROM, OF_MEMORY = 1.25, 4, 0.25
Arms = dict[str, Callable[[], torch.Tensor]]


def main(arguments: list[str]) -> int:
    """Print the table and one line per promise; 1 if any fails."""
    if arguments == ["measure"]:
        print(json.dumps(one_process()))
        return 0
    runs = recorded(arguments, measured)
    print(f"training, one thread, forward and backward, median [lowest, highest] of {len(runs)} processes\n")
    kept = "kept for backward, of plain's:"
    head("tokens:", "nm:", "plain over lean", kept, "over SwiGLU", "(6 + 8 nm) / 18:", "(6 + 8 nm) / 12:")
    results = []
    for h, d, tokens, nm in ((h, d, tokens, nm) for h, d, tokens, numbers in SHAPES for nm in numbers):
        key = f"{h} {d} {tokens} {nm}"
        speed, memory, cost = ([run[f"{key} {name}"] for run in runs] for name in ("speed", "memory", "cost"))
        flops = 6 + 8 * nm
        row(tokens, nm, spread(speed), f"{memory[0]:.2f}", spread(cost), f"{flops / 18:.2f}", f"{flops / 12:.2f}")
        floor = FASTER if nm >= FASTER_FROM else 1.0
        words = f"{h} x {d}, {tokens}, {nm}"
        results.append((bool(np.median(speed) >= floor), f"{words}: plain over lean {spread(speed)}, at least {floor}"))
        if nm == FASTER_FROM:
            results.append((memory[0] <= OF_MEMORY, f"{words}: kept for backward {memory[0]:.3f} of plain's"))
    print()
    for holds, line in results:
        print(f"{'holds' if holds else 'FAILS'}  {line}")
    return 0 if all(holds for holds, _ in results) else 1


def measured() -> list[Found]:
    """Every process afresh."""
    command = [sys.executable, "-m", "tests.benchmarks.layer", "measure"]
    return [json.loads(subprocess.check_output(command)) for _ in range(PROCESSES)]


def one_process() -> Found:
    """Ratios by "h d tokens nm what": speed (plain over lean), memory (lean of plain), cost (lean over SwiGLU)."""
    torch.set_num_threads(1)
    return {
        f"{h} {d} {tokens} {nm} {name}": value
        for h, d, tokens, numbers in SHAPES
        for nm in numbers
        for name, value in ratios(h, d, tokens, nm).items()
    }


def ratios(h: int, d: int, tokens: int, nm: int) -> Found:
    """Of one process."""
    torch.manual_seed(nm)
    x, up = torch.randn(tokens, h, requires_grad=True), torch.randn(tokens, d)
    lean, plain = (SwiMGLU(h, d, nm, form=form) for form in ("lean", "plain"))
    gate, value = (torch.nn.Linear(h, d, bias=False) for _ in range(2))
    arms: Arms = {
        "lean": lambda: lean(x),
        "plain": lambda: plain(x),
        "swiglu": lambda: functional.silu(gate(x)) * value(x),
    }
    leaves = [x, *lean.parameters(), *plain.parameters(), *gate.parameters(), *value.parameters()]
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(SAMPLES[nm] + 1):
        for name, arm in arms.items():
            for leaf in leaves:
                leaf.grad = None
            start = time.perf_counter()
            arm().backward(up)
            seconds[name].append(time.perf_counter() - start)
    times = {name: np.array(found[1:]) for name, found in seconds.items()}
    own = {leaf.data_ptr() for leaf in leaves}
    memory = kept_bytes(arms["lean"], own) / kept_bytes(arms["plain"], own)
    speed, cost = (float(np.median(times[a] / times[b])) for a, b in (("plain", "lean"), ("lean", "swiglu")))
    return {"speed": speed, "memory": memory, "cost": cost}


def kept_bytes(arm: Callable[[], torch.Tensor], own: set[int]) -> int:
    """Bytes that autograd keeps for backward, beside parameters and x."""
    kept: dict[int, torch.Tensor] = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        arm()
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in own)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
