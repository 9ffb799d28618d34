"""What the compiler made of a kernel, without running it: resources, occupancy and the main loop, as rows.

Instructions per weight element are warp instructions of the main loop over the weight elements that a warp handles in
one pass of it; :mod:`mglubench.kernels.sass` says how the loop is found. Occupancy is theoretical, from registers and
shared memory (:mod:`mglubench.kernels.occupancy`). None of this is a measurement of time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mglubench.cases.vocabulary import near
from mglubench.errors import MglubenchError, UsageError
from mglubench.hardware.cuda_toolchain import capability, compiler_release
from mglubench.kernels.occupancy import SHARED_RESERVED, occupancy
from mglubench.kernels.sass import Kernel, Loop, Work, read_kernels

InspectRow = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Block:
    """Threads and dynamic shared memory (bytes) of a block."""

    threads: int
    shared_bytes: int


class Inspectable(ABC):
    """A kernel whose machine code can be made for any architecture on any machine.

    Attributes:
        entry: name of the kernel that does the work for one token. wide: of the one for many, if there is one.
            wide_times: how often the latter spends what :meth:`work` says for each weight element. oldest: ten times
            the least compute capability that it can be compiled for. dtypes: of W, x and y. formats: of W beside
            those. nms: numbers of masks that it takes; 0 alone without masks.
    """

    entry: ClassVar[str]
    wide: ClassVar[str] = ""
    wide_times: ClassVar[int] = 2
    oldest: ClassVar[int] = 80
    dtypes: ClassVar[tuple[str, ...]]
    formats: ClassVar[tuple[str, ...]] = ()
    nms: ClassVar[tuple[int, ...]]

    @property
    def masked(self) -> bool:
        """Whether it reads masks."""
        return self.nms != (0,)

    def oldest_for(self, dtype: str) -> int:
        """``oldest`` for one dtype, or format, of W."""
        return self.oldest

    @abstractmethod
    def artifact(self, arch: str, nm: int, dtype: str) -> Path:
        """A cubin or library for ``arch``.

        Raises:
            MglubenchError: what is missing or failed, in one line.
        """

    @abstractmethod
    def work(self, nm: int) -> Work:
        """The instructions of the main loop that touch weights."""

    @abstractmethod
    def block(self, arch: str, nm: int) -> Block:
        """Size of a block of the launch that :meth:`artifact` is compiled for."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to look at: a variant's kernel compiled for an architecture, nm and dtype, or format, of W."""

    variant: str
    arch: str
    nm: int
    dtype: str


def subjects(
    known: Mapping[str, Inspectable],
    names: Sequence[str],
    archs: Iterable[str],
    nms: Iterable[int],
    dtypes: Iterable[str],
) -> list[Subject]:
    """All combinations that exist, of all that is known if ``names`` is empty.

    Args:
        known: kernels by the name of their variant.

    Raises:
        UsageError: a name that is unknown or cannot be inspected.
    """
    for name in names:
        if name not in known:
            raise UsageError(f"variant {name!r} has no kernel to inspect; {near(name, known)}")
    found = []
    for name in names or known:
        kernel = known[name]
        wanted = nms if kernel.masked else (0,)
        found += [
            Subject(name, arch, nm, dtype)
            for arch in archs
            for nm in wanted
            for dtype in dtypes
            if dtype in (*kernel.dtypes, *kernel.formats) and nm in kernel.nms
            if capability(arch) >= kernel.oldest_for(dtype)
        ]
    return list(dict.fromkeys(found))


def examine(kernel: Inspectable, item: Subject) -> list[InspectRow]:
    """The rows of one subject, its entry kernel first; what cannot be compiled is a row with a reason."""
    head: InspectRow = {"variant": item.variant, "arch": item.arch, "nm": item.nm, "dtype": item.dtype}
    try:
        head["compiler"] = compiler_release()
        found = read_kernels(kernel.artifact(item.arch, item.nm, item.dtype))
        rows = [{**head, **_row(compiled, kernel, item)} for compiled in found]
    except MglubenchError as error:
        return [{**head, "kernel": "", "status": "error", "reason": str(error)}]
    return sorted(rows, key=lambda row: not row["entry"])


def _row(compiled: Kernel, kernel: Inspectable, item: Subject) -> InspectRow:
    row: InspectRow = {
        "kernel": compiled.title,
        "entry": compiled.title == kernel.entry,
        "status": "ok",
        "registers": compiled.registers,
        "local_bytes": compiled.stack,
        "spill_instructions": compiled.count("STL", "LDL"),
        "instructions": len(compiled.instructions),
    }
    if row["entry"] or compiled.title == kernel.wide:
        row |= _resident(compiled, kernel.block(item.arch, item.nm), item.arch)
        work = kernel.work(item.nm)
        work = work if row["entry"] else Work(work.opcode, work.elements / kernel.wide_times)
        if loop := compiled.main_loop(work):
            row |= _loop_row(loop, loop.elements(work))
    return row


def _resident(compiled: Kernel, block: Block, arch: str) -> InspectRow:
    # From sm_90 on the compiler's figure includes what the system keeps per block.
    reserved = SHARED_RESERVED if compiled.shared >= SHARED_RESERVED and not arch.startswith("sm_8") else 0
    shared = compiled.shared - reserved + block.shared_bytes
    room = occupancy(arch, block.threads, compiled.registers, shared)
    return {
        "threads": block.threads,
        "shared_bytes": shared,
        "blocks_per_sm": room.blocks,
        "warps_per_sm": room.warps,
        "occupancy": room.share,
        "limited_by": room.limited_by,
    }


def _loop_row(loop: Loop, elements: float) -> InspectRow:
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
