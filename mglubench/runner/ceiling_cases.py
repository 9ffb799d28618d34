"""The cases that come before a sweep's own: what the device can give, to hold everything else against.

========== ================= ====================================================================================
ceiling    variant           case
========== ================= ====================================================================================
memory     stream-read*      a cold read of a buffer far larger than the caches; on GPUs also of each shape's own size,
                             where launch and ramp cost a share of the time that no layer gets back
L2         stream-read*      a hot read of a buffer of half the L2 cache, on GPUs that say how large it is
arithmetic matrix-product    a large product in every dtype of the sweep, on GPUs in float32 as well
========== ================= ====================================================================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import SweepSpec
from mglubench.cases.vocabulary import device_kind
from mglubench.executors.machine import Machine
from mglubench.hardware.devices import Device
from mglubench.layer.problem import host_bytes
from mglubench.variants.registry import get_variant

READS = ("stream-read", "stream-read-streams", "stream-read-ahead", "stream-read-cuda")
PRODUCT = "matrix-product"
READ_COLUMNS = 4096
# Far more than a GPU's L2, and four times what a CPU's last-level cache usually is; cold mode evicts it as well.
READ_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}
# h, d and tokens: enough to fill every multiprocessor of a GPU for a tenth of a millisecond, two cores for as many
# milliseconds as a clock resolves well.
PRODUCT_SIZE = {"cpu": (2048, 2048, 512), "cuda": (4096, 4096, 4096)}


def ceiling_cases(spec: SweepSpec, machine: Machine) -> list[Case]:
    """The ceilings of every device of a resolved sweep that its memory has room for and that can run there."""
    return [case for device in spec.device for case in _of_device(spec, device, machine)]


def _of_device(spec: SweepSpec, device: str, machine: Machine) -> Iterator[Case]:
    absent = machine.unavailable[device_kind(device)]
    free = machine.memory[device].available
    for case in (*_reads(spec, device, machine.devices[device]), *_products(spec, device)):
        able = case.variant not in absent and not get_variant(case.variant).why_refused(case)
        if able and host_bytes(case) < free // 2:
            yield case


def _reads(spec: SweepSpec, device: str, found: Device) -> Iterator[Case]:
    base = Case("", READ_COLUMNS, 1, dtype=spec.dtype[0], device=device, seed=spec.seed)
    row = READ_COLUMNS * base.itemsize
    sizes = [dataclasses.replace(base, d=READ_BYTES[device_kind(device)] // row)]
    if base.device_kind == "cuda" and "cold" in spec.lists["mode"]:
        by_size = {case.itemsize: case for case in (dataclasses.replace(base, dtype=dtype) for dtype in spec.dtype)}
        sizes += [dataclasses.replace(case, h=h, d=d) for case in by_size.values() for h, d in spec.shapes]
    for case in dict.fromkeys(sizes):
        for name in READS:
            yield dataclasses.replace(case, variant=name)
    if half := int(found.l2_size or 0) // 2:
        for name in READS:
            yield dataclasses.replace(base, variant=name, d=max(1, half // row), mode="hot")


def _products(spec: SweepSpec, device: str) -> Iterator[Case]:
    kind = device_kind(device)
    h, d, batch = PRODUCT_SIZE[kind]
    for dtype in dict.fromkeys((*spec.dtype, *(("float32",) if kind == "cuda" else ()))):
        # Arithmetic needs no cold weights: on a CPU one copy is enough; each further one would be checked as well.
        mode = "hot" if kind == "cpu" else "cold"
        yield Case(PRODUCT, h, d, batch=batch, dtype=dtype, device=device, seed=spec.seed, mode=mode)
