"""Roofs: what a device's memory and arithmetic can give at most, measured by the run first, then by its datasheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mglubench.results.metrics import ceiling_by_device
from mglubench.spec.gpus import GpuData, gpu_of_device

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Roof:
    """One roof.

    Attributes:
        rate: bytes/s of a memory roof, FLOP/s of a compute roof. label: as drawn.
        measured: by this run; a datasheet's otherwise.
    """

    rate: float
    label: str
    measured: bool


@dataclass(frozen=True, slots=True)
class Roofs:
    """Those of one device; ``l2_bytes`` is the size of its L2 cache, if known."""

    device: str
    memory: tuple[Roof, ...]
    compute: tuple[Roof, ...]
    l2_bytes: int | None


def roofs_of(frame: pd.DataFrame, device: str, dtype: str) -> Roofs:
    """The roofs for weights of ``dtype`` on one device of a run.

    Memory: the run's measured ceiling, the datasheet's bandwidth, and L2 where the run read a buffer that fits in it
    hot. Compute: the datasheet's tensor and CUDA cores. A CPU has no datasheet here, so its roof is the measured one.
    """
    record = _device_record(frame, device)
    gpu = gpu_of_device(str(record.get("name", ""))) if device.startswith("cuda") else None
    l2_bytes = record.get("l2_bytes") or (gpu.l2_bytes if gpu else None)
    memory = [*_measured(frame, device, l2_bytes)]
    if gpu:
        memory.append(Roof(gpu.bandwidth, f"datasheet {_gb(gpu.bandwidth)}", measured=False))
    return Roofs(str(record.get("name", device)), tuple(memory), _compute(gpu, dtype), l2_bytes)


def _measured(frame: pd.DataFrame, device: str, l2_bytes: int | None) -> list[Roof]:
    found = []
    ceiling = ceiling_by_device(frame).get(device)
    if ceiling:
        found.append(Roof(ceiling * 1e9, f"memory, measured {_gb(ceiling * 1e9)}", measured=True))
    reads = frame[(frame["layer"] == "read") & (frame["status"] == "ok") & (frame["device"] == device)]
    hot = reads[(reads["mode"] == "hot") & (reads["bytes_total"] <= (l2_bytes or 0))]
    if len(hot):
        rate = float((hot["bytes_total"] / hot["latency_p5_us"]).max()) * 1e6
        found.append(Roof(rate, f"L2, measured {_gb(rate)}", measured=True))
    return found


def _compute(gpu: GpuData | None, dtype: str) -> tuple[Roof, ...]:
    if gpu is None:
        return ()
    units = (("tensor cores", gpu.tensor_flops(dtype)), ("CUDA cores, fp32", gpu.cuda_core_flops))
    return tuple(Roof(rate, f"{unit}, datasheet {_tflops(rate)}", measured=False) for unit, rate in units if rate)


def _device_record(frame: pd.DataFrame, device: str) -> Mapping[str, Any]:
    environment = frame.attrs.get("run", {}).get("environment", {})
    record: Mapping[str, Any] = environment.get("devices", {}).get(device, {})
    return record


def _gb(rate: float) -> str:
    return f"{rate / 1e9:,.0f} GB/s"


def _tflops(rate: float) -> str:
    return f"{rate / 1e12:,.0f} TFLOP/s"
