"""``predict``: floors on a GPU that is not here, and the paper's kernels held against the same floors.

Everything here is an estimate from declared bytes and what a GPU can give (:mod:`mglubench.hardware.floors`): by its
datasheet, or by ceilings that mglubench measured on such a GPU. The only measured layers are the paper's, and they are
called that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from mglubench.cases.case import Case
from mglubench.cases.sweep_spec import SweepSpec
from mglubench.cases.vocabulary import SAME, LayerKind
from mglubench.hardware.floors import Floor, floor_of, intensity
from mglubench.hardware.gpus import GpuData, gpu_named
from mglubench.layer.declared import Ledger, declare
from mglubench.report import paper
from mglubench.report.table import NM, Column, Formatter, Row, Table, amount, figure, named, number, text, times
from mglubench.results.ceilings import FIGURES
from mglubench.variants.registry import get_variant

DTYPE = "float16"
Find = Callable[[str], GpuData]
WORDS = {"lu": "LU (no gate)", "glu": "GLU / SwiGLU", "mglu": "MGLU, packed masks"}


def _times(key: str) -> Formatter:
    def show(row: Row) -> str:
        value = figure(row, key)
        return "-" if value is None else times(value)

    return show


def _yes_no(row: Row) -> str:
    return "?" if row["in_l2"] is None else "yes" if row["in_l2"] else "no"


FLOORS = (
    Column("layer", "layer", lambda row: WORDS[str(row["layer"])], text=True, spare=0),
    NM,
    Column("bytes", "MB", number("bytes", ",.2f", 1e-6)),
    Column("bits_per_element", "bits/weight", number("bits_per_element", ".1f")),
    Column("intensity", "FLOP/byte", number("intensity", ".2f"), spare=7),
    Column("memory_us", "memory us", number("memory_us", ",.2f")),
    Column("compute_us", "compute us", number("compute_us", ",.2f")),
    Column("floor_us", "floor us", number("floor_us", ",.2f"), spare=0),
    Column("bound", "bound by", text("bound"), text=True, spare=4),
    Column("in_l2", "fits L2", _yes_no, text=True, spare=8),
    Column("limit_vs_glu", "max x GLU", _times("limit_vs_glu"), spare=1),
    Column("limit_vs_naive", "max x naive", _times("limit_vs_naive")),
)
PAPER = (
    named("gpu", "GPU"),
    NM,
    named("what"),
    Column("paper_us", "paper us", number("paper_us", ",.1f"), spare=0),
    Column("floor_us", "floor us", number("floor_us", ",.2f")),
    Column("share", "of the floor", number("share", ".0%")),
    Column("byte_floor_us", "byte-mask floor us", number("byte_floor_us", ",.2f")),
    Column("byte_share", "of that floor", number("byte_share", ".0%")),
    Column("paper_vs_glu", "x GLU, paper", _times("paper_vs_glu")),
    Column("limit_vs_glu", "max x GLU", _times("limit_vs_glu")),
    Column("in_l2", "fits L2", _yes_no, text=True, spare=8),
)


def predict_tables(spec: SweepSpec, gpu: GpuData, find: Find = gpu_named) -> list[Table]:
    """Floors per shape, batch, dtype and weight format; then the paper's measurements of the shapes that it has.

    Args:
        find: a GPU's data by name, for the paper's GPUs.
    """
    dtypes = [DTYPE if name == "auto" else name for name in spec.dtype]
    tables = [
        _floor_table(Case("", h, d, batch=batch, dtype=dtype, device="cuda", weights=str(weights)), spec.nm, gpu)
        for dtype in dict.fromkeys(dtypes)
        for weights in spec.lists["weights"]
        for h, d in spec.shapes
        for batch in spec.batch
    ]
    for h, d in spec.shapes:
        rows = [row for name in paper.GPUS for row in _paper_rows(name, find(name), h, d, spec.nm)]
        if rows:
            tables.append(Table(f"Sanity check, the paper's kernel: {_title(h, d, 1, DTYPE)}", PAPER, rows, _CHECKED))
    return tables


def _floor_table(base: Case, nms: tuple[int, ...], gpu: GpuData) -> Table:
    glu = floor_of(declare("glu", base), gpu, base.dtype)
    rows = [_row("lu", base, gpu, glu), _row("glu", base, gpu, glu)]
    rows += [_row("mglu", _with(base, nm), gpu, glu) for nm in nms]
    best = max(rows, key=lambda row: amount(row, "limit_vs_glu") if row["layer"] == "mglu" else 0.0)
    shown = [{**row, "best": row is best and row["layer"] == "mglu"} for row in rows]
    stored = "" if base.weights == SAME else f", weights {base.weights}"
    title = f"Estimate for {gpu.name}, no layer measured: {_title(base.h, base.d, base.batch, base.dtype)}{stored}"
    return Table(title, FLOORS, shown, list(_notes(gpu, base.dtype)), best="best")


def _row(layer: LayerKind, case: Case, gpu: GpuData, glu: Floor) -> Row:
    ledger = declare(layer, case)
    floor = floor_of(ledger, gpu, case.dtype)
    naive = floor_of(_naive(case), gpu, case.dtype) if layer == "mglu" else None
    return {
        "layer": layer,
        "nm": case.nm,
        "bytes": ledger.total,
        "flops": ledger.flops,
        "bits_per_element": 8 * ledger.total / case.elements,
        "intensity": intensity(ledger),
        "memory_us": floor.memory_us,
        "compute_us": floor.compute_us,
        "floor_us": floor.us,
        "bound": floor.bound,
        "in_l2": floor.in_l2,
        "limit_vs_glu": glu.us / floor.us,
        "limit_vs_naive": naive.us / floor.us if naive else None,
    }


def _paper_rows(name: str, gpu: GpuData, h: int, d: int, nms: tuple[int, ...]) -> Iterator[Row]:
    """The paper's GLU, then its CUDA kernel for every nm that its tables have."""
    base = Case("", h, d, dtype=DTYPE, device="cuda")
    glu = floor_of(declare("glu", base), gpu, DTYPE)
    measured = paper.paper_latency(name, h, d, 0, paper.GLU)
    if measured:
        yield _paper_row(name, 0, "GLU, torch", measured, glu)
    for nm in nms:
        kernel = paper.paper_latency(name, h, d, nm, paper.KERNEL)
        if kernel is None:
            continue
        case = _with(base, nm)
        floor = floor_of(declare("mglu", case), gpu, DTYPE)
        as_stored = floor_of(declare("mglu", case, mask_bytes=case.elements), gpu, DTYPE)
        yield _paper_row(name, nm, "FlashMGLU, CUDA", kernel, floor) | {
            "byte_floor_us": as_stored.us,
            "byte_share": as_stored.us / kernel,
            "paper_vs_glu": paper.paper_ratio(name, h, d, nm, paper.GLU),
            "limit_vs_glu": glu.us / floor.us,
        }


def _paper_row(name: str, nm: int, what: str, measured: float, floor: Floor) -> dict[str, object]:
    return {
        "gpu": f"{name} ({gpu_named(name).name})" if gpu_named(name).name != name else name,
        "nm": nm,
        "what": what,
        "paper_us": measured,
        "floor_us": floor.us,
        "share": floor.us / measured,
        "in_l2": floor.in_l2,
        **dict.fromkeys(("byte_floor_us", "byte_share", "paper_vs_glu", "limit_vs_glu")),
    }


def _basis(gpu: GpuData) -> str:
    """What the rates are: where their sources differ from the datasheet's they were measured."""
    sold = gpu_named(gpu.name).sources
    measured = [name for name in FIGURES if gpu.sources.get(name) != sold.get(name)]
    return f"datasheet figures but for measured {', '.join(measured)}" if measured else "datasheet figures"


def _notes(gpu: GpuData, dtype: str) -> Iterator[str]:
    best = gpu.best_flops(dtype)
    rate = f", FLOPs / {best[0] / 1e12:,.1f} TFLOP/s of the {best[1]}" if best else ""
    yield (
        f"an estimate, {_basis(gpu)}: floor = the larger of declared bytes / {gpu.bandwidth / 1e9:,.0f} GB/s"
        f"{rate}; no kernel reaches it"
    )
    yield (
        "max x GLU, max x naive: ratios of floors; naive moves what torch materialises for it. A GLU that is above its "
        "own floor can be beaten by more"
    )
    if gpu.l2_bytes is None:
        yield f"fits L2: not known, {gpu.sources['l2']}"
    else:
        yield (
            f"fits L2 ({gpu.l2_bytes / 2**20:,.1f} MiB): run again over one buffer, such a layer is read from the "
            "cache and can beat its floor, which holds for weights that come from memory"
        )
    figures = ("bandwidth", {"float16": "fp16", "bfloat16": "bf16"}.get(dtype, "fp32"), "l2")
    yield "sources: " + "; ".join(dict.fromkeys(gpu.sources[name] for name in figures if name in gpu.figures))


_CHECKED = (
    "paper us: measured by the paper, arXiv 2506.23225, tables 16 to 19, fp16, 1 token; floors: estimates, see above",
    "of the floor: floor / measured. Above 100 % the weights cannot all have come from memory: such a layer fits in L2 "
    "and was run over one buffer",
    "byte-mask floor: with a mask byte per weight whatever nm, as the paper's Algorithm 3 stores them",
    "the paper does not say which H100; the SXM board is assumed",
)


def _naive(case: Case) -> Ledger:
    """The naive layer of the format: of codes, what dequantises at every call."""
    return get_variant("mglu-naive" if case.weights == SAME else "mglu-dequantise").declare(case)


def _with(base: Case, nm: int) -> Case:
    return dataclasses.replace(base, nm=nm, mask="bernoulli:0.5")


def _title(h: int, d: int, batch: int, dtype: str) -> str:
    return f"h={h} d={d}, {'1 token' if batch == 1 else f'{batch} tokens'}, {dtype}"
