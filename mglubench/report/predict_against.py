"""``predict --against``: the launch model beside what a run measured, kernel by kernel.

The model knows no tuning and nothing of the run but its GPU: the launch is the kernel's own choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from mglubench.errors import UsageError
from mglubench.hardware.gpus import GpuData, gpu_of_device
from mglubench.kernels.launch_model import Card
from mglubench.kernels.modelled import card_of, shipped_pins
from mglubench.kernels.pins import Pins
from mglubench.report.predict_launches import DTYPES, variant_row
from mglubench.report.table import NM, VARIANT, Column, Row, Table, amount, number, text
from mglubench.variants.cuda_kernels import KERNELS, CudaVariant

if TYPE_CHECKING:
    import pandas as pd

AGAINST = (
    VARIANT,
    NM,
    Column("shape", "h x d", text("shape"), text=True),
    Column("batch", "tokens", text("batch")),
    Column("dtype", "dtype", text("dtype"), text=True),
    Column("us", "estimated us", number("us", ",.1f")),
    Column("latency_us", "measured us", number("latency_us", ",.1f")),
    Column("off", "model off by", number("off", "+.0%")),
    Column("binds", "the model binds", text("binds"), text=True),
)


def against_table(frame: pd.DataFrame, find: Callable[[str], GpuData]) -> Table:
    """Every cold case of a kernel of ``kernels_cuda/`` in 16 bits beside the model's time for it.

    Args:
        frame: a run as it is loaded. find: a GPU's data by name.

    Raises:
        UsageError: the run has no such case, or is of a GPU that the model does not know.
    """
    device = frame.attrs["run"].get("environment", {}).get("devices", {}).get("cuda", {}).get("name", "")
    gpu = gpu_of_device(device)
    pins, card = shipped_pins(), card_of(find(gpu.name)) if gpu else None
    if pins is None or card is None:
        raise UsageError(
            f"the launch model knows nothing of {device or 'a run without a GPU'}; take a run of another GPU"
        )
    rows = list(_rows(frame, pins, card))
    if not rows:
        raise UsageError("no cold case of a CUDA kernel in 16 bits is in this run; take one of flash-mglu-mma, say")
    notes = [
        f"estimates of the launch model for {device}: {card.sms} multiprocessors, a reader's ceiling of "
        f"{card.ceiling / 1e9:,.0f} GB/s; launches as the kernels choose them, untuned",
        *_how_far(rows),
    ]
    return Table("The launch model against what was measured", AGAINST, rows, notes)


def _rows(frame: pd.DataFrame, pins: Pins, card: Card) -> Iterator[Row]:
    kinds: dict[str, type[CudaVariant]] = {kind.name: kind for kind in KERNELS}
    good = frame[(frame["status"] == "ok") & (frame["mode"] == "cold") & frame["dtype"].isin(DTYPES)]
    for case in good.to_dict("records"):
        kind = kinds.get(str(case["variant"]))
        if kind is None or case["batch"] > kind.kernel.tokens_max:
            continue
        shape = (int(case["h"]), int(case["d"]), int(case["batch"]), int(case["nm"]))
        made = variant_row(pins, card, kind, *shape, rule_only=True)
        if made is not None:
            shown = {name: case[name] for name in ("batch", "dtype", "latency_us")}
            off = amount(made, "us") / float(case["latency_us"]) - 1
            yield {**made, **shown, "shape": f"{case['h']}x{case['d']}", "off": off}


def _how_far(rows: list[Row]) -> Iterator[str]:
    for variant in dict.fromkeys(str(row["variant"]) for row in rows):
        off = [amount(row, "off") for row in rows if row["variant"] == variant]
        span = f"{min(off):+.0%} to {max(off):+.0%}"
        yield f"{variant}: the model is off by {span} over {len(off)}, {np.mean(off):+.0%} in the mean"
