"""``predict``: what each CUDA kernel can be expected to reach, and the same model beside the paper's own figures.

Estimates throughout (:mod:`mglubench.kernels.launch_model`): no kernel was run for them. The first run on a GPU
confirms or refutes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mglubench.cases.sweep_spec import SweepSpec
from mglubench.hardware.gpus import GpuData
from mglubench.kernels import launch_model as model
from mglubench.kernels.cuda_catalogue import PAPER
from mglubench.kernels.launch_model import Card, Estimate
from mglubench.kernels.modelled import best_of, card_of, code_of, modelled, shipped_pins
from mglubench.kernels.pins import Pins
from mglubench.kernels.tuning import Gpu
from mglubench.report import paper
from mglubench.report.predict import predict_tables
from mglubench.report.table import Column, Row, Table, amount, number, text
from mglubench.variants.cuda_kernels import KERNELS, CudaVariant, FlashMGLUPaper

DTYPES = ("float16", "bfloat16")
_ESTIMATED = (
    Column("instructions", "instr/weight", number("instructions", ".3f")),
    Column("issue", "issue slots at ceiling", number("issue", ".0%")),
    Column("in_flight", "in flight KB/SM", number("in_flight", ",.1f", 1e-3)),
    Column("needed", "needed KB/SM", number("needed", ",.1f", 1e-3)),
    Column("waves", "waves", number("waves", ",.2f")),
    Column("us", "estimated us", number("us", ",.1f")),
)
LAUNCHES = (
    Column("variant", "variant", text("variant"), text=True),
    Column("nm", "nm", lambda row: str(row["nm"] or "")),
    Column("choice", "launch", text("choice"), text=True),
    *_ESTIMATED,
    Column("share", "estimated of ceiling", number("share", ".0%")),
    Column("binds", "binds", text("binds"), text=True),
)
CHECKED = (
    Column("gpu", "GPU", text("gpu"), text=True),
    Column("shape", "h x d", text("shape"), text=True),
    Column("nm", "nm", text("nm")),
    Column("choice", "best of the model", text("choice"), text=True),
    *_ESTIMATED,
    Column("paper_us", "paper us", number("paper_us", ",.1f")),
    Column("off", "model off by", number("off", "+.0%")),
    Column("binds", "binds", text("binds"), text=True),
)


def launch_tables(spec: SweepSpec, gpu: GpuData, find: Callable[[str], GpuData]) -> list[Table]:
    """A table per shape and batch in 16 bits; then the paper's kernel on the paper's cards."""
    pins, card = shipped_pins(), card_of(gpu)
    if "same" not in spec.lists.get("weights", ("same",)):
        return []
    if pins is None or not any(dtype in (*DTYPES, "auto") for dtype in spec.dtype):
        return []
    tables = []
    for h, d in spec.shapes if card else ():
        for batch in (batch for batch in spec.batch if batch <= 16):
            rows = list(_rows(pins, gpu, h, d, batch, spec.nm))
            tokens = "1 token" if batch == 1 else f"{batch} tokens"
            title = f"Launch model, an estimate of each CUDA kernel on {gpu.name}: h={h} d={d}, {tokens}, 16 bits"
            tables.append(Table(title, LAUNCHES, rows, list(_notes(gpu))))
    checked = [row for name in paper.GPUS for row in _paper_rows(pins, name, find(name), spec)]
    if checked:
        notes = [
            *_how_far(checked),
            "of the published kernel with the best block and split of the model; the paper states neither, nor which "
            "H100 (the SXM board is assumed)",
        ]
        tables.append(Table("Sanity check of the estimates, the paper's own kernel", CHECKED, checked, notes))
    return tables


def predicted_tables(spec: SweepSpec, gpu: GpuData, find: Callable[[str], GpuData]) -> list[Table]:
    """All that ``mglubench predict`` prints."""
    return [*predict_tables(spec, gpu, find), *launch_tables(spec, gpu, find)]


def _rows(pins: Pins, gpu: GpuData, h: int, d: int, batch: int, nms: tuple[int, ...]) -> Iterator[Row]:
    card = card_of(gpu)
    for variant in KERNELS if card else ():
        kernel = variant.kernel
        for nm in [nm for nm in nms if nm in kernel.nms] if kernel.masked else (0,):
            assert card
            if made := variant_row(pins, card, variant, h, d, batch, nm):
                yield made


def variant_row(
    pins: Pins, card: Card, variant: type[CudaVariant], h: int, d: int, batch: int, nm: int, *, rule_only: bool = False
) -> Row | None:
    """The model's figures of one case in 16 bits; ``None`` where it says nothing of it.

    Args:
        rule_only: launched as the kernel chooses, whatever a search has found.
    """
    kernel = variant.kernel
    code = code_of(pins, variant.name, kernel.pinned_title(batch), nm)
    job, gpu = kernel.job(h, d, nm, batch, "float16"), Gpu("", card.arch, card.sms)
    choice = kernel.rule(job, gpu) if rule_only else kernel.choose(job, gpu)
    made = code and modelled(kernel, code, job, card, choice)
    return {"variant": variant.name, "nm": nm, "choice": str(choice), **_figures(made)} if made else None


def _paper_rows(pins: Pins, name: str, gpu: GpuData, spec: SweepSpec) -> Iterator[Row]:
    card = card_of(gpu)
    for h, d in spec.shapes if card else ():
        for nm in spec.nm:
            measured = paper.paper_latency(name, h, d, nm, paper.KERNEL)
            code = code_of(pins, FlashMGLUPaper.name, PAPER.entry, nm)
            if measured is None or code is None or card is None:
                continue
            job = PAPER.job(h, d, nm, 1, "float16")
            if best := best_of(PAPER, code, job, card, PAPER.tried()):
                choice, made = best
                yield {
                    "gpu": gpu.name,
                    "shape": f"{h}x{d}",
                    "nm": nm,
                    "choice": str(choice),
                    **_figures(made),
                    "paper_us": measured,
                    "off": made.us / measured - 1,
                    "in_l2": 3 * h * d <= (gpu.l2_bytes or 0),
                }


def _how_far(rows: list[Row]) -> Iterator[str]:
    """In words, card by card: layers that fit L2 apart, which the paper ran over one buffer."""
    for name in dict.fromkeys(str(row["gpu"]) for row in rows):
        for in_l2, words in ((False, "from memory"), (True, "that fit L2, where the model takes weights from memory")):
            off = [amount(row, "off") for row in rows if (row["gpu"], row["in_l2"]) == (name, in_l2)]
            if off:
                yield f"{name}, layers {words}: the model is off by {min(off):+.0%} to {max(off):+.0%}"


def _figures(made: Estimate) -> Row:
    return {name: getattr(made, name) for name in (*(c.key for c in _ESTIMATED), "share", "binds")}


def _notes(gpu: GpuData) -> Iterator[str]:
    card = card_of(gpu)
    assert card
    yield (
        f"estimates: {card.sms} multiprocessors at {card.clock / 1e9:.2f} GHz, a reader's ceiling of "
        f"{card.ceiling / 1e9:,.0f} GB/s, {model.LATENCY_US} us until weights arrive, {model.BLOCK_US} us before and "
        f"after them in a block, {model.LAUNCH_US} us a launch and {model.NEXT_US} us each further "
        "kernel of it; registers and instructions as pinned for sm_90a, on a line between the pinned nm"
    )
    yield "in flight: resident warps x what each has asked for x its share of the time; needed: ceiling x latency"
    yield "binds: what costs most of the time beyond the ceiling's, memory where that is under 5 %"
