"""The launch model of the kernels of ``kernels_cuda/`` on a GPU that is not here, from their pinned machine code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mglubench.hardware.gpus import GpuData, gpu_named
from mglubench.kernels.cuda_kernel import WARPS, CudaKernel
from mglubench.kernels.inspect import InspectRow
from mglubench.kernels.launch_model import READ_SHARE, Card, Code, Estimate, estimate
from mglubench.kernels.occupancy import LIMITS, REGISTERS_PER_SM, occupancy
from mglubench.kernels.pins import Pins, read_pins
from mglubench.kernels.tuning import Choice, Gpu, Job
from mglubench.system.resources import data_folder

PINNED = Path("inspect-sm_90a") / "inspect.json"
DTYPE = "float16"


def shipped_pins() -> Pins | None:
    """What the compiler made of the kernels for sm_90a; ``None`` in an installation without that file."""
    path = data_folder("reports") / PINNED
    return read_pins(path) if path.is_file() else None


def card_of(gpu: GpuData) -> Card | None:
    """What the model needs; ``None`` where a GPU's multiprocessors, its clock or its architecture are not known."""
    sms, clock = gpu.figures.get("sms"), gpu.clock
    if not sms or not clock or int(gpu.capability.replace(".", "")) not in LIMITS:
        return None
    measured = gpu.sources["bandwidth"] != gpu_named(gpu.name).sources["bandwidth"]
    return Card(gpu.arch, int(sms), gpu.bandwidth * (1.0 if measured else READ_SHARE), clock)


def code_of(pins: Pins, variant: str, title: str, nm: int) -> Code | None:
    """Registers and instructions per weight element at nm masks: between the pinned nm, and beyond, on a line."""
    known: dict[int, InspectRow] = {}
    for key, by_compiler in pins.rows.items():
        if (key.variant, key.kernel, key.dtype) == (variant, title, DTYPE):
            row = list(by_compiler.values())[-1]
            if "instructions_per_element" in row:
                known[key.nm] = row
    if not known:
        return None
    low, high = min(known), max(known)
    part = (nm - low) / (high - low) if high > low else 0.0

    def at(name: str) -> float:
        return float(known[low][name]) + part * (float(known[high][name]) - float(known[low][name]))

    return Code(min(255, round(at("registers"))), at("instructions_per_element"))


def modelled(kernel: CudaKernel, code: Code, job: Job, card: Card, choice: Choice) -> Estimate | None:
    """The estimate of one launch; ``None`` where its kernel cannot be launched so on the card or says too little."""
    gpu = Gpu("", card.arch, card.sms)
    if not kernel.fits(job.nm, choice, card.arch):
        return None
    if bound := kernel.bound_warps(job):
        # A line between the pinned nm may lie above what the compiler was held to.
        most = REGISTERS_PER_SM // (32 * bound) // 8 * 8
        code = Code(min(code.registers, most), code.instructions)
    shared = kernel.shared_bytes(job.nm, choice)
    resident = occupancy(card.arch, 32 * choice.get("WARPS", WARPS), code.registers, shared).blocks
    flight = kernel.flight(job, choice, gpu, resident)
    if flight is None or not resident:
        return None
    elements = job.h * job.d * kernel.matrices * kernel.passes(job.nm, job.batch)
    return estimate(flight, code, card, float(elements))


def best_of(
    kernel: CudaKernel, code: Code, job: Job, card: Card, choices: Iterable[Choice]
) -> tuple[Choice, Estimate] | None:
    """The quickest of some choices by the model."""
    found = [(choice, made) for choice in choices if (made := modelled(kernel, code, job, card, choice))]
    return min(found, key=lambda pair: pair[1].us, default=None)
