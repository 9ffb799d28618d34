"""What each known GPU can do, by its maker's documents: ``gpus.toml``, read and looked up by name.

Datasheet figures are what a device is sold as, not what it was measured to do; where a run has a measured ceiling, that
comes first.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mglubench.cases.vocabulary import near
from mglubench.errors import UsageError
from mglubench.hardware.cuda_toolchain import architecture_of

FIGURES = ("sms", "memory", "bandwidth", "l2", "fp16", "bf16", "fp8", "fp32")
TENSOR_RATE = {"float16": "fp16", "bfloat16": "bf16"}
TABLE = Path(__file__).with_name("gpus.toml")


@dataclass(frozen=True, slots=True)
class GpuData:
    """One GPU.

    Attributes:
        name: as shown. aliases: other names for ``--gpu``. devices: names that NVML and CUDA report, without "NVIDIA".
        capability: compute capability, ``major.minor``.
        figures: ``sms`` (multiprocessors), ``memory`` and ``l2`` in bytes, ``bandwidth`` in bytes/s, ``fp16``,
            ``bf16``, ``fp8`` (dense tensor cores, fp32 accumulation) and ``fp32`` (CUDA cores) in FLOP/s; one that is
            not known is not there.
        sources: document and address by figure, or why the figure is absent.
    """

    name: str
    aliases: tuple[str, ...]
    devices: tuple[str, ...]
    capability: str
    figures: Mapping[str, float]
    sources: Mapping[str, str]

    @property
    def bandwidth(self) -> float:
        """Memory bandwidth in bytes/s."""
        return self.figures["bandwidth"]

    @property
    def l2_bytes(self) -> int | None:
        """Size of the L2 cache, ``None`` if no source states it."""
        return int(self.figures["l2"]) if "l2" in self.figures else None

    @property
    def cuda_core_flops(self) -> float | None:
        """fp32 FLOP/s of the CUDA cores."""
        return self.figures.get("fp32")

    @property
    def clock(self) -> float | None:
        """Cycles/s that the fp32 rate is sold at, ``None`` where that or the number of multiprocessors is not known."""
        sms, rate = self.figures.get("sms"), self.figures.get("fp32")
        lanes = 64 if self.capability == "8.0" else 128
        return rate / (2 * lanes * sms) if sms and rate else None

    @property
    def arch(self) -> str:
        """What its kernels are compiled for, such as ``sm_90a``."""
        major, minor = self.capability.split(".")
        return architecture_of(int(major), int(minor))

    def tensor_flops(self, dtype: str) -> float | None:
        """Dense FLOP/s of the tensor cores for ``dtype``; ``None`` where they do not take it (float32 stays exact)."""
        return self.figures.get(TENSOR_RATE.get(dtype, ""))

    def best_flops(self, dtype: str) -> tuple[float, str] | None:
        """The faster of the two units for ``dtype`` in FLOP/s, and its name."""
        units = ((self.tensor_flops(dtype), "tensor cores"), (self.cuda_core_flops, "CUDA cores"))
        known = [(rate, unit) for rate, unit in units if rate is not None]
        return max(known, default=None)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "devices": list(self.devices),
            "capability": self.capability,
            "figures": dict(self.figures),
            "sources": dict(self.sources),
        }


@cache
def gpus() -> tuple[GpuData, ...]:
    """All known GPUs, in the order of the table."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return tuple(_gpu(entry, table["sources"]) for entry in table["gpu"])


def gpu_named(text: str) -> GpuData:
    """The GPU that a person means: its name, an alias or a device's name, whatever the case, spaces and hyphens.

    Raises:
        UsageError: no such GPU, with the near matches.
    """
    wanted = _plain(text)
    for gpu in gpus():
        if wanted in _names(gpu):
            return gpu
    known = [gpu.name for gpu in gpus()]
    related = [gpu.name for gpu in gpus() if wanted and any(wanted in name for name in _names(gpu))]
    advice = f"did you mean {' or '.join(related)}?" if related else near(text, known)
    raise UsageError(f"no data on a GPU {text!r}; {advice}")


def gpu_of_device(device: str) -> GpuData | None:
    """The GPU by the exact name that NVML or CUDA reports for it; ``None`` for one that is not in the table."""
    wanted = _plain(device)
    return next((gpu for gpu in gpus() if wanted in {_plain(name) for name in gpu.devices}), None)


def _gpu(entry: Mapping[str, Any], sources: Mapping[str, str]) -> GpuData:
    given = {name: entry[name] for name in ("capability", *FIGURES)}
    return GpuData(
        name=entry["name"],
        aliases=tuple(entry.get("aliases", ())),
        devices=tuple(entry["devices"]),
        capability=given["capability"]["value"],
        figures={name: float(given[name]["value"]) for name in FIGURES if "value" in given[name]},
        sources={name: sources[f["source"]] if "source" in f else f["absent"] for name, f in given.items()},
    )


def _names(gpu: GpuData) -> set[str]:
    return {_plain(name) for name in (gpu.name, *gpu.aliases, *gpu.devices)}


def _plain(name: str) -> str:
    """Lower case, without maker, brand, spaces and hyphens."""
    words = name.lower().replace("-", " ").split()
    return "".join(word for word in words if word not in ("nvidia", "geforce"))
