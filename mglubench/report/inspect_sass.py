"""The table of ``mglubench inspect``: what the compiler made of a kernel, without running it.

Instructions per weight element are warp instructions of the main loop over the weight elements that a warp handles in
one pass of it; :mod:`mglubench.kernels.sass` says how the loop is found. Occupancy is theoretical, from registers and
shared memory (:mod:`mglubench.kernels.occupancy`). None of this is a measurement of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mglubench.cases.vocabulary import near
from mglubench.errors import MglubenchError, UsageError
from mglubench.hardware.cuda_toolchain import capability
from mglubench.kernels.inspection import Block, Inspectable
from mglubench.kernels.occupancy import SHARED_RESERVED, occupancy
from mglubench.kernels.sass import Kernel, Loop, read_kernels
from mglubench.report.table import Column, Table, number, text
from mglubench.variants.base import Variant
from mglubench.variants.registry import variants

NOTES = (
    "instructions per element: warp instructions of the main loop / weight elements per pass of it, from SASS",
    "loads: global loads of the main loop by bytes per lane; occupancy is theoretical",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to look at: a variant compiled for an architecture, nm and dtype."""

    variant: str
    arch: str
    nm: int
    dtype: str


def inspectable() -> dict[str, Variant]:
    """Variants whose machine code can be made here, by name."""
    return {name: variant for name, variant in variants().items() if isinstance(variant, Inspectable)}


def subjects(names: Sequence[str], archs: Iterable[str], nms: Iterable[int], dtypes: Iterable[str]) -> list[Subject]:
    """All combinations that exist; all inspectable variants if ``names`` is empty.

    Raises:
        UsageError: a name that is unknown or cannot be inspected.
    """
    known = inspectable()
    for name in names:
        if name not in known:
            raise UsageError(f"variant {name!r} has no kernel to inspect; {near(name, known)}")
    found = []
    for name in names or known:
        variant = known[name]
        assert isinstance(variant, Inspectable)
        wanted = nms if variant.layer == "mglu" else (0,)
        found += [
            Subject(name, arch, nm, dtype)
            for arch in archs
            if capability(arch) >= variant.oldest
            for nm in wanted
            for dtype in dtypes
            if dtype in variant.dtypes and nm <= variant.nm_max and not 8 < nm < 16
        ]
    return list(dict.fromkeys(found))


def inspect(items: Sequence[Subject], finished: Callable[[Subject], None] = lambda item: None) -> Table:
    """One row per kernel of each subject; what cannot be compiled is a row with a reason."""
    rows = []
    for item in items:
        rows += examine(item)
        finished(item)
    return Table("Compiled kernels", _COLUMNS, rows, NOTES, best="entry")


def examine(item: Subject) -> list[dict[str, Any]]:
    """The rows of one subject, its entry kernel first."""
    variant = inspectable()[item.variant]
    assert isinstance(variant, Inspectable)
    head = {"variant": item.variant, "arch": item.arch, "nm": item.nm, "dtype": item.dtype}
    try:
        kernels = read_kernels(variant.artifact(item.arch, item.nm, item.dtype))
        rows = [{**head, **_row(kernel, variant, item)} for kernel in kernels]
    except MglubenchError as error:
        return [{**head, "kernel": "", "status": "error", "reason": str(error)}]
    return sorted(rows, key=lambda row: not row["entry"])


def _row(kernel: Kernel, variant: Inspectable, item: Subject) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kernel": kernel.title,
        "entry": kernel.title == variant.entry,
        "status": "ok",
        "registers": kernel.registers,
        "local_bytes": kernel.stack,
        "spill_instructions": kernel.count("STL", "LDL"),
        "instructions": len(kernel.instructions),
    }
    if row["entry"]:
        row |= _resident(kernel, variant.block(item.arch, item.nm), item.arch)
        work = variant.work(item.nm)
        if loop := kernel.main_loop(work):
            row |= _loop_row(loop, loop.elements(work))
    return row


def _resident(kernel: Kernel, block: Block, arch: str) -> dict[str, Any]:
    # From sm_90 on the compiler's figure includes what the system keeps per block.
    reserved = SHARED_RESERVED if kernel.shared >= SHARED_RESERVED and not arch.startswith("sm_8") else 0
    shared = kernel.shared - reserved + block.shared_bytes
    room = occupancy(arch, block.threads, kernel.registers, shared)
    return {
        "threads": block.threads,
        "shared_bytes": shared,
        "blocks_per_sm": room.blocks,
        "warps_per_sm": room.warps,
        "occupancy": room.share,
        "limited_by": room.limited_by,
    }


def _loop_row(loop: Loop, elements: float) -> dict[str, Any]:
    widths = {bits: loop.count("LDG", bits) for bits in ("128", "64", "U16", "U8")}
    return {
        "loop_instructions": loop.instructions,
        "loop_elements": elements,
        "instructions_per_element": loop.instructions / elements,
        "loads_16": widths["128"],
        "loads_8": widths["64"],
        "loads_4": loop.count("LDG") - sum(widths.values()),
        "loads_less": widths["U16"] + widths["U8"],
        "shared_loads_16": loop.count("LDS", "128"),
        "hmma": loop.count("HMMA"),
    }


def _loads(row: Any) -> str:
    if "loads_16" not in row:
        return "-"
    parts = [("16 B", "loads_16"), ("8 B", "loads_8"), ("4 B", "loads_4"), ("<4 B", "loads_less")]
    found = [f"{row[key]} x {size}" for size, key in parts if row[key]]
    if row["shared_loads_16"]:
        found.append(f"{row['shared_loads_16']} x 16 B shared")
    return ", ".join(found)


_COLUMNS = (
    Column("variant", "variant", text("variant"), text=True),
    Column("arch", "arch", text("arch"), text=True),
    Column("nm", "nm", text("nm")),
    Column("dtype", "dtype", text("dtype"), text=True),
    Column("kernel", "kernel", lambda row: row.get("kernel") or row.get("reason", ""), text=True),
    Column("registers", "registers", number("registers", ".0f")),
    Column("local_bytes", "spilled (B)", number("local_bytes", ".0f")),
    Column("shared_bytes", "shared (KB)", number("shared_bytes", ".1f", 1 / 1024)),
    Column("occupancy", "occupancy", number("occupancy", ".0%")),
    Column("limited_by", "limited by", text("limited_by"), text=True),
    Column("instructions_per_element", "instructions / element", number("instructions_per_element", ".3f")),
    Column("loads_16", "loads per pass", _loads, text=True),
    Column("hmma", "HMMA per pass", number("hmma", ".0f")),
)
