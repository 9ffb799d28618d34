"""What a device was measured to give: by a run, and remembered for runs that measure none and for predictions.

A ceiling is what a device gives when nothing disturbs it, so it is taken from the fastest twentieth of the samples
(p5), not from their median: disturbances only ever slow a launch down. For the same reason the best run of a device is
remembered, not its last. Kinds: ``memory`` and ``l2`` in bytes/s, and ``product/DTYPE`` in FLOP/s. What a device gives
depends on how it is set: ceilings are kept by its name, its threads and its conditions, see :func:`place_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from mglubench.cases.vocabulary import CEILINGS
from mglubench.errors import MglubenchError
from mglubench.hardware.devices import Device, devices_in
from mglubench.hardware.gpus import GpuData, gpu_of_device
from mglubench.results.frame import load
from mglubench.results.store import read_header
from mglubench.system.notebook import Notebook

if TYPE_CHECKING:
    import pandas as pd

MEMORY, L2, PRODUCT = "memory", "l2", "product"
# Between a device's name and its conditions.
WITH = " with "
# A best run is higher than the next by this much without that anything was the matter.
WORSE = 0.05
# Figures of a GPU's datasheet, and the kinds of ceiling that say the same by measurement.
FIGURES = {
    "bandwidth": MEMORY,
    "fp16": f"{PRODUCT}/float16",
    "bf16": f"{PRODUCT}/bfloat16",
    "fp32": f"{PRODUCT}/float32",
}
NOTEBOOK = Notebook(
    file="ceilings.json",
    variable="MGLUBENCH_CEILINGS",
    content="devices",
    version=1,
    what="table of ceilings",
    again="sweep once more",
)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One ceiling.

    Attributes:
        rate: bytes/s or FLOP/s. run: folder of the run that measured it. time: when that run began, UTC.
    """

    rate: Annotated[float, msgspec.Meta(gt=0)]
    run: str
    time: str

    @property
    def source(self) -> str:
        """Where the figure comes from, as tables cite it."""
        return f"measured by the run {self.run} on {self.time[:10]}"


def ceilings_of(frame: pd.DataFrame, device: str) -> dict[str, float]:
    """The ceilings that a run measured on one of its devices, by kind; the best where several variants tried."""
    # Layers are the many: a huge run is filtered by its few ceilings, not copied.
    good = frame[frame["layer"].isin(CEILINGS) & (frame["status"] == "ok") & (frame["device"] == device)]
    reads, products = good[good["layer"] == "read"], good[good["layer"] == "product"]
    cold, hot = reads[reads["mode"] == "cold"], reads[reads["mode"] == "hot"]
    known = device_of(frame, device)
    fitting = hot[hot["bytes_total"] <= ((known.l2_size if known else None) or 0)]
    # Reads of a layer's own size pay launch and ramp, or find part of it in a cache: the largest are meant.
    large = cold[cold["bytes_total"] == cold["bytes_total"].max()]
    found = {MEMORY: _rate(large, "bytes_total"), L2: _rate(fitting, "bytes_total")}
    for dtype, rows in products.groupby("dtype"):
        found[f"{PRODUCT}/{dtype}"] = _rate(rows, "flops")
    return {kind: rate for kind, rate in found.items() if rate is not None}


def ceiling_by_device(frame: pd.DataFrame) -> dict[str, float]:
    """Measured read bandwidth of the memory in GB/s per device of a run, for the devices that were measured."""
    found = {str(device): ceilings_of(frame, str(device)).get(MEMORY) for device in frame["device"].unique()}
    return {device: rate / 1e9 for device, rate in found.items() if rate is not None}


def remember(folder: Path) -> str:
    """Keep a run's ceilings for its devices, where no other run had better ones; says in one line what was not kept.

    A fake run has none. A run that was asked for no ceilings may hold reads and products of any size, which say little.
    """
    run = read_header(folder)
    if run.get("fake") or not run["sweep"].get("ceiling", True):
        return ""
    frame = load(folder, layers=CEILINGS)
    found: dict[str, dict[str, Ceiling]] = {}
    for name, device in devices_in(run["environment"]).items():
        for kind, rate in ceilings_of(frame, name).items():
            own = found.setdefault(place_of(device), {})
            own[kind] = _better(own.get(kind), Ceiling(rate, folder.name, run["environment"]["time"]))
    kept: list[str] = []

    def add(devices: dict[str, object]) -> dict[str, object]:
        return {**devices, **{place: _added(devices, place, new, kept) for place, new in found.items()}}

    try:
        if found:
            NOTEBOOK.change(add)
    except MglubenchError as error:
        return f"measured ceilings were not remembered: {error}"
    return f"{'; '.join(kept)}; the better are kept, delete {NOTEBOOK.path()} to forget them" if kept else ""


def place_of(device: Device) -> str:
    """What ceilings are kept under: a device's name, and in what it may be set otherwise the next time.

    Threads, instructions and pages of a CPU; slices, checked memory and the power limit of a GPU.
    """
    card = device.card
    told = (
        (device.torch_threads, "{} threads"),
        (device.numba_threads if device.numba_threads != device.torch_threads else None, "{} threads of Numba"),
        (device.cpu_capability, "{}"),
        (device.pages, "{} pages"),
        (card.mig if card else None, "MIG {}"),
        (card.ecc if card else None, "ECC {}"),
        (card.power_limit_watts if card else None, "{:g} W"),
    )
    conditions = ", ".join(words.format(value) for value, words in told if value is not None)
    return f"{device.name}{WITH}{conditions}" if conditions else device.name


def remembered(place: str) -> dict[str, Ceiling]:
    """The best ceilings of a device as it is set, see :func:`place_of`, from whatever run measured them.

    Raises:
        UsageError: the table of ceilings is damaged.
    """
    return _ceilings(NOTEBOOK.read(), place)


def as_measured(gpu: GpuData) -> GpuData:
    """The GPU's data with measured ceilings, where some are remembered, in the place of its datasheet's figures.

    Raises:
        UsageError: the table of ceilings is damaged.
    """
    known = NOTEBOOK.read()
    found: dict[str, Ceiling] = {}
    for place in known:
        if gpu_of_device(place.partition(WITH)[0]) == gpu:
            ceilings = _ceilings(known, place)
            for figure, kind in FIGURES.items():
                if kind in ceilings:
                    found[figure] = _better(found.get(figure), ceilings[kind])
    return replace(
        gpu,
        figures={**gpu.figures, **{figure: ceiling.rate for figure, ceiling in found.items()}},
        sources={**gpu.sources, **{figure: ceiling.source for figure, ceiling in found.items()}},
    )


def _better(one: Ceiling | None, other: Ceiling) -> Ceiling:
    return one if one is not None and one.rate >= other.rate else other


def _added(devices: Mapping[str, object], place: str, new: Mapping[str, Ceiling], kept: list[str]) -> dict[str, object]:
    """What is known of one device with new ceilings, where they are better; what was much better before is told."""
    before = _ceilings(devices, place)
    entries: dict[str, object] = {kind: asdict(ceiling) for kind, ceiling in before.items()}
    for kind, ceiling in new.items():
        best = _better(before.get(kind), ceiling)
        entries[kind] = asdict(best)
        if ceiling.rate < best.rate * (1 - WORSE):
            kept.append(
                f"the ceiling {kind} of {place} is {ceiling.rate / best.rate:.0%} of what the run {best.run} "
                f"measured on {best.time[:10]}: something else was busy, or the device is slower now"
            )
    return entries


def _ceilings(devices: Mapping[str, object], name: str) -> dict[str, Ceiling]:
    """What the notebook has of one device."""
    try:
        return msgspec.convert(devices.get(name, {}), dict[str, Ceiling])
    except ValueError as error:
        raise NOTEBOOK.damaged(f"{name}: {error}") from None


def device_of(frame: pd.DataFrame, name: str) -> Device | None:
    """What a run's header says of a device; ``None`` for a frame without a header."""
    return devices_in(frame.attrs.get("run", {}).get("environment", {})).get(name)


def _rate(rows: pd.DataFrame, amount: str) -> float | None:
    """The best of ``amount`` per second over some cases."""
    return float((rows[amount] / rows["latency_p5_us"]).max()) * 1e6 if len(rows) else None
