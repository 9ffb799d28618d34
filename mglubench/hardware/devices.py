"""What a device's record says of its memory, with the datasheet's word where the record has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mglubench.hardware.gpus import gpu_of_device


def l2_bytes(record: Mapping[str, Any]) -> float | None:
    """Size of a device's L2: what CUDA says, else the datasheet's."""
    if record.get("kind") != "cuda":
        return None
    if record.get("l2_bytes"):
        return float(record["l2_bytes"])
    known = gpu_of_device(str(record.get("name")))
    return float(known.l2_bytes) if known and known.l2_bytes else None


def peak_gb_per_s(record: Mapping[str, Any]) -> float | None:
    """Datasheet bandwidth of a device in GB/s, if it is known."""
    known = gpu_of_device(str(record.get("name"))) if record.get("kind") == "cuda" else None
    return known.bandwidth / 1e9 if known else None
