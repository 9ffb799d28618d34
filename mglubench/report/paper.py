"""The paper's own latencies (arXiv 2506.23225, tables 16 to 19), for putting beside ours.

The paper measures fp16, one token. Its tables 16 to 19 print the columns h and d swapped; ``paper_tables.csv`` has them
in this project's sense: h is the hidden size, d the intermediate size.
"""

from __future__ import annotations

import csv
from functools import cache
from typing import NamedTuple

from mglubench.comparison import PRINTED
from mglubench.system.resources import data_folder

GPUS = ("H100", "RTX 5090")
NAIVE, GLU, KERNEL, TRITON = "mglu-naive-torch", "glu-torch", "flash-mglu-cuda", "flash-mglu-triton"

# Which of our variants is the same thing as which of the paper's.
SAME_AS = {PRINTED: NAIVE, "swiglu": GLU, "flash-mglu-paper": KERNEL, "flash-mglu-triton": TRITON}


class Cell(NamedTuple):
    """Where a figure of the paper stands; nm is 0 for a layer without masks."""

    gpu: str
    h: int
    d: int
    nm: int
    implementation: str


@cache
def paper_latencies() -> dict[Cell, float]:
    """Latency in microseconds by cell."""
    path = data_folder("sweeps") / "paper_tables.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return {
            Cell(r["gpu"], int(r["h"]), int(r["d"]), int(r["nm"] or 0), r["implementation"]): float(r["latency_ms"])
            * 1e3
            for r in csv.DictReader(file)
        }


def paper_latency(gpu: str, h: int, d: int, nm: int, implementation: str) -> float | None:
    """One figure in microseconds, or ``None`` if no table has that cell."""
    return paper_latencies().get(Cell(gpu, h, d, nm, implementation))


def paper_ratio(gpu: str, h: int, d: int, nm: int, over: str) -> float | None:
    """How much faster the paper's CUDA kernel is than ``over`` in the same cell."""
    base = paper_latency(gpu, h, d, 0 if over == GLU else nm, over)
    kernel = paper_latency(gpu, h, d, nm, KERNEL)
    return base / kernel if base and kernel else None
