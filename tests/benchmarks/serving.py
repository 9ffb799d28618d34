"""What serving costs: packed layers against SwiGLU's projections from decode to prefill, and a Llama that decodes.

Run by ``make bench``; needs the extra ``hf``. Weights are cold: arms take turns over several layers, which no cache
holds. Every process is fresh. No promise is made here, so exit code 1 only says that a part could not run.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mglubench.kernels.cpu_call import glu_call
from mglubench.nn import PackedMGLU
from mglubench.nn.mask_planes import to_planes
from mglubench.nn.routed import routed_mglu
from mglubench.nn.topk import routing
from tests.benchmarks.recorded import Found, head, recorded, row, spread

PROCESSES, SAMPLES = 5, 4
H, D = 1024, 4096
# Copies of a layer in decode, where its weights are what counts, and from 64 tokens on, where they are not.
COPIES, FEWER, MANY = 6, 2, 64
# Awake threads need tens of milliseconds on cores of their own before a launch takes what it takes in a server.
TURN_SECONDS = 0.04
RIVALS = ("two products", "one product", "swiglu-numba-cpu")
Arm = Callable[[int, torch.Tensor], object]
NUMBERS, TOKENS = (1, 4), (1, 16, 64, 128, 256, 512)
# Up to how many tokens a layer takes the kernel: always, or never.
LIMITS = {"kernel": 10**9, "dense": 0}
NEW_TOKENS, LLAMA_LAYERS = 16, 6
ROUTED, BATCHES = ((4, 1), (4, 2), (8, 2)), (1, 4, 16)


def main(arguments: list[str]) -> int:
    """Measure in fresh processes, and tell."""
    if arguments and arguments[0] in PARTS:
        print(json.dumps(PARTS[arguments[0]]()))
        return 0
    told(recorded(arguments, lambda: [one_run() for _ in range(PROCESSES)]))
    return 0


def one_run() -> Found:
    """Every part in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.serving"]
    parts = [json.loads(subprocess.check_output([*command, part])) for part in PARTS]
    return {"threads": torch.get_num_threads(), **{name: value for part in parts for name, value in part.items()}}


def told(runs: list[Found]) -> None:
    """Print the tables."""
    threads = f"{runs[0]['threads']:.0f} threads"
    print(f"{threads}, float32, cold weights; median [lowest, highest] of {len(runs)} processes\n")
    print(f"{H} x {D}: time over the gate and up projections of the fastest SwiGLU\n")
    head("nm:", "tokens:", "by the kernel", "by products with masked copies", *RIVALS)
    for nm in NUMBERS:
        for tokens in TOKENS:
            row(nm, tokens, *(spread([run[f"{nm} {tokens} {arm}"] for run in runs]) for arm in (*LIMITS, *RIVALS)))
    print(f"\na random Llama of {LLAMA_LAYERS} layers decodes\n")
    head("MLPs", "tokens per second", "over dense", "share of time in MLPs")
    for name in ("dense", "nm=1", "nm=4"):
        found = (spread([run[f"{name} {what}"] for run in runs]) for what in ("rate", "ratio", "share"))
        row(name if name == "dense" else f"stand-ins, {name}", *found)
    print(f"\nTop-K, {H} x {D}, random routing; of all nm masks: additions, bytes, time\n")
    head("nm:", "K:", "batch:", "masks in use:", "additions:", "bytes:", "time")
    for nm, k in ROUTED:
        for batch in BATCHES:
            used, taken_of_all = ([run[f"{nm} {k} {batch} {what}"] for run in runs] for what in ("used", "time"))
            mean = float(np.mean(used))
            saved = f"{(1 + mean) / (1 + nm):.2f}", f"{(32 + mean) / (32 + nm):.2f}"
            row(nm, k, batch, f"{mean:.1f}", *saved, spread(taken_of_all))


def layers() -> Found:
    """Ratios by "nm tokens arm" over the SwiGLU that is the fastest in this process at so many tokens."""
    torch.manual_seed(0)
    gates, ups = ([torch.randn(D, H) / H**0.5 for _ in range(COPIES)] for _ in range(2))
    glus = swiglus(gates, ups)
    found: Found = {}
    for nm in NUMBERS:
        arms = packed_arms([layer_of(gate, nm) for gate in gates])
        for tokens in TOKENS:
            times = taken(glus | arms, COPIES if tokens < MANY else FEWER, torch.randn(tokens, H))
            fastest = min(glus, key=lambda name: float(np.median(times[name])))
            for arm in arms:
                found[f"{nm} {tokens} {arm}"] = float(np.median(times[arm] / times[fastest]))
            for rival in glus:
                found[f"{nm} {tokens} {rival}"] = float(np.median(times[rival] / times[fastest]))
    return found


def swiglus(gates: list[torch.Tensor], ups: list[torch.Tensor]) -> dict[str, Arm]:
    """What people serve today (two products, one product over both matrices), and the loop of ours over both."""
    both = [torch.cat(pair) for pair in zip(gates, ups, strict=True)]
    calls = [glu_call(gate, up, "silu") for gate, up in zip(gates, ups, strict=True)]

    def one_product(k: int, x: torch.Tensor) -> torch.Tensor:
        gate, up = functional.linear(x, both[k]).chunk(2, dim=-1)
        return functional.silu(gate) * up

    def two_products(k: int, x: torch.Tensor) -> torch.Tensor:
        return functional.silu(functional.linear(x, gates[k])) * functional.linear(x, ups[k])

    return dict(zip(RIVALS, (two_products, one_product, lambda k, x: calls[k](x, x.new_empty(len(x), D))), strict=True))


def packed_arms(packed: list[PackedMGLU]) -> dict[str, Arm]:
    """The two ways of a packed layer."""
    return {name: lambda k, x, limit=limit: with_limit(packed[k], limit)(x) for name, limit in LIMITS.items()}


def with_limit(layer: PackedMGLU, tokens: int) -> PackedMGLU:
    """The layer with another number of tokens up to which it takes the kernel."""
    layer.kernel_tokens = tokens
    return layer


def layer_of(weight: torch.Tensor, nm: int) -> PackedMGLU:
    """A packed layer with random masks."""
    layer = PackedMGLU(H, D, nm, device="meta")
    layer.weight, layer.mask_planes = weight, to_planes(torch.rand(nm, D, H) < 0.5)
    return layer.prepare()


def taken(arms: Mapping[str, Arm], copies: int, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Seconds per launch by arm: arms take turns, and each goes over all copies until its threads have settled."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(SAMPLES + 1):
        for name, arm in arms.items():
            turn(arm, copies, x)
            seconds[name].append(turn(arm, copies, x))
    return {name: np.array(samples[1:]) for name, samples in seconds.items()}


def turn(arm: Arm, copies: int, x: torch.Tensor) -> float:
    """Seconds per launch of an arm that goes over the copies again and again for a while."""
    start, launches, lasted = time.perf_counter(), 0, 0.0
    while lasted < TURN_SECONDS:
        for k in range(copies):
            arm(k, x)
        launches += copies
        lasted = time.perf_counter() - start
    return lasted / launches


def llama() -> Found:
    """Rates, ratios to dense and shares of time in MLPs by "model what"."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from mglubench.nn.hf_starts import SwapConfig
    from mglubench.nn.hf_swap import swap_mlps

    torch.manual_seed(0)
    sizes = {"hidden_size": H, "intermediate_size": D, "num_hidden_layers": LLAMA_LAYERS, "num_attention_heads": 16}
    dense = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=1000, pad_token_id=0)).eval()
    models: dict[str, nn.Module] = {"dense": dense}
    for nm in (1, 4):
        models[f"nm={nm}"] = copy.deepcopy(dense)
        swap_mlps(models[f"nm={nm}"], SwapConfig(nm=nm, mode="stand-in", allow_meaningless=True))
    inside = {name: watched(model) for name, model in models.items()}
    ids = torch.randint(3, 1000, (1, 8))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(SAMPLES + 1):
        for name, model in models.items():
            inside[name][0] = 0.0
            start = time.perf_counter()
            model.generate(ids, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False)
            seconds[name].append((time.perf_counter() - start, inside[name][0]))
    times = {name: np.array(samples[1:]) for name, samples in seconds.items()}
    found: Found = {}
    for name, (whole, mlps) in ((name, measured.T) for name, measured in times.items()):
        found[f"{name} rate"] = float(NEW_TOKENS / np.median(whole))
        found[f"{name} ratio"] = float(np.median(times["dense"][:, 0] / whole))
        found[f"{name} share"] = float(np.median(mlps / whole))
    return found


def routed() -> Found:
    """By "nm k batch what": masks in use, and time over that of the same kernel with all masks in use."""
    generator = torch.Generator().manual_seed(time.time_ns() % 2**31)
    weights = [torch.randn(D, H) / H**0.5 for _ in range(COPIES)]
    planes = {nm: [to_planes(torch.rand(nm, D, H) < 0.5) for _ in weights] for nm in {nm for nm, _ in ROUTED}}
    found: Found = {}
    for nm, k in ROUTED:
        for batch in BATCHES:
            x = torch.randn(batch, H)
            gates = routing(torch.randn((batch, nm), generator=generator), k, "softmax-then-topk")
            whole = torch.full((batch, nm), 1.0 / nm)
            times = taken(routed_arms(weights, planes[nm], {"kept": gates, "all": whole}), COPIES, x)
            found[f"{nm} {k} {batch} used"] = float((gates != 0).any(0).sum())
            found[f"{nm} {k} {batch} time"] = float(np.median(times["kept"] / times["all"]))
    return found


def routed_arms(
    weights: list[torch.Tensor], planes: list[torch.Tensor], gates: dict[str, torch.Tensor]
) -> dict[str, Arm]:
    """One launch of the k-th copy, by name of the gate weights."""
    return {
        name: lambda k, x, given=given: routed_mglu(x, weights[k], planes[k], given, "silu")
        for name, given in gates.items()
    }


def watched(model: nn.Module) -> list[float]:
    """Seconds that the MLPs of a model take, counted up by every call."""
    total, starts = [0.0], [0.0]

    def before(*_: object) -> None:
        starts[0] = time.perf_counter()

    def after(*_: object) -> None:
        total[0] += time.perf_counter() - starts[0]

    for name, module in model.named_modules():
        if name.endswith(".mlp"):
            module.register_forward_pre_hook(before)
            module.register_forward_hook(after)
    return total


PARTS = {"layers": layers, "llama": llama, "routed": routed}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
