"""Tokens that share a pass, and from how many on products with masked copies of W win. Run by ``make bench``.

Layers and SwiGLUs are those of ``serving``; every process is fresh, arms take turns. Few tokens go over copies that no
cache holds; many over one copy, whose reading is then the least of it. No promise is made here, so exit code 1 only
says that something could not run.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import torch

from tests.benchmarks.recorded import Found, head, recorded, row, spread
from tests.benchmarks.serving import COPIES, LIMITS, Arm, D, H, layer_of, packed_arms, swiglus, taken, turn, with_limit

PROCESSES = 5
FEW, MASKS = (1, 2, 4, 8, 16), (1, 8)
MANY = {
    ("float32", 1): (256, 512, 1024, 2048),
    ("float32", 2): (512, 2048),
    ("bfloat16", 1): (64, 128, 256, 1024),
    ("bfloat16", 4): (256, 512, 1024),
    ("float16", 1): (256, 1024),
}
SAMPLES_OF_MANY = 3


def main(arguments: list[str]) -> int:
    """Measure in fresh processes, and tell."""
    if arguments == ["one"]:
        print(json.dumps(few_tokens() | many_tokens()))
        return 0
    command = [sys.executable, "-m", "tests.benchmarks.batch", "one"]
    told(recorded(arguments, lambda: [json.loads(subprocess.check_output(command)) for _ in range(PROCESSES)]))
    return 0


def told(runs: list[Found]) -> None:
    """Print the tables."""
    print(f"{H} x {D}, float32, {runs[0]['threads']:.0f} threads; median [lowest, highest] of {len(runs)} processes\n")
    print(
        "One call over the fastest SwiGLU's of as many tokens, and its time for a token over that of one token alone\n"
    )
    head("nm:", "tokens:", "over the fastest SwiGLU", "for a token")
    for nm in MASKS:
        for tokens in FEW:
            row(nm, tokens, *(spread([run[f"{nm} {tokens} {what}"] for run in runs]) for what in ("glu", "token")))
    print("\nThe kernel over products with masked copies of W\n")
    head("dtype", "nm:", "tokens:", "time")
    for (dtype, nm), counts in MANY.items():
        for tokens in counts:
            row(dtype, nm, tokens, spread([run[f"{dtype} {nm} {tokens} dense"] for run in runs]))


def few_tokens() -> Found:
    """Ratios by "nm tokens what"."""
    torch.manual_seed(0)
    gates, ups = ([torch.randn(D, H) / H**0.5 for _ in range(COPIES)] for _ in range(2))
    glus, found = swiglus(gates, ups), Found(threads=torch.get_num_threads())
    packed = {nm: [with_limit(layer_of(gate, nm), max(FEW)) for gate in gates] for nm in MASKS}
    kernels: dict[str, Arm] = {str(nm): lambda k, x, made=made: made[k](x) for nm, made in packed.items()}
    alone: dict[int, float] = {}
    for tokens in FEW:
        samples = taken(glus | kernels, COPIES, torch.randn(tokens, H))
        times = {name: float(np.median(took)) for name, took in samples.items()}
        for nm in MASKS:
            took = times[str(nm)]
            found[f"{nm} {tokens} glu"] = took / min(times[name] for name in glus)
            found[f"{nm} {tokens} token"] = took / tokens / alone.setdefault(nm, took)
    return found


def many_tokens() -> Found:
    """Ratios by "dtype nm tokens dense"."""
    found = Found()
    for (dtype, nm), counts in MANY.items():
        arms = packed_arms([layer_of((torch.randn(D, H) / H**0.5).to(getattr(torch, dtype)), nm)])
        for tokens in counts:
            x = torch.randn(tokens, H).to(getattr(torch, dtype))
            pairs = [[turn(arms[name], 1, x) for name in LIMITS] for _ in range(SAMPLES_OF_MANY + 1)][1:]
            found[f"{dtype} {nm} {tokens} dense"] = float(np.median([kernel / dense for kernel, dense in pairs]))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
