"""What LLVM makes of the CPU kernels, for this machine and, compiled only, for AVX2 and NEON, as rows.

Instructions per weight are those of the main loop over the weights of one pass of it, for one token; the shape of the
loop is the one that the rule gives at 2048 x 8192 (:mod:`~mglubench.kernels.cpu_choice`). None of this is a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mglubench.cases.vocabulary import near
from mglubench.errors import MglubenchError, UsageError
from mglubench.kernels.cpu_assembly import MainLoop, assembly, instructions_of, main_loop
from mglubench.kernels.cpu_choice import CpuKernel, chip_here
from mglubench.kernels.cpu_rows import RowShape
from mglubench.kernels.cpu_target import ELSEWHERE, CpuTarget, here, targeting
from mglubench.kernels.inspect import InspectRow, Subject

H, D = 2048, 8192


def cpu_targets() -> dict[str, CpuTarget]:
    """What can be asked for, by name: this machine's processor first."""
    return {here().name: here(), **ELSEWHERE}


def target_names(asked: Iterable[str]) -> list[str]:
    """Names of targets; ``here`` is this machine's.

    Raises:
        UsageError: one that is unknown.
    """
    known = cpu_targets()
    names = [here().name if name == "here" else name for name in asked]
    if unknown := next((name for name in names if name not in known), None):
        raise UsageError(f"unknown CPU target {unknown!r}; {near(unknown, ('here', *known))}")
    return list(dict.fromkeys(names))


def cpu_subjects(
    known: Mapping[str, CpuKernel],
    names: Sequence[str],
    archs: Iterable[str],
    nms: Sequence[int],
    dtypes: Sequence[str],
) -> list[Subject]:
    """All combinations, of all kernels if ``names`` is empty; raises :class:`UsageError` for a name of none."""
    for name in names:
        if name not in known:
            raise UsageError(f"variant {name!r} has no CPU kernel to inspect; {near(name, known)}")
    return [
        Subject(name, arch, nm, dtype)
        for name in names or known
        for arch in archs
        if arch in cpu_targets()
        for nm in ((0,) if known[name].gated else nms)
        for dtype in dtypes
    ]


def examine_on_cpu(kernel: CpuKernel, item: Subject) -> list[InspectRow]:
    """The row of one subject; what cannot be compiled is a row with a reason."""
    target = cpu_targets()[item.arch]
    head: InspectRow = {"variant": item.variant, "arch": item.arch, "nm": item.nm, "dtype": item.dtype}
    head |= {"compiler": compiler(), "kernel": "rows", "entry": True}
    try:
        shape = shape_of(kernel, item, target)
        text = assembly(shape, target)
        if (loop := main_loop(text, shape)) is None:
            raise MglubenchError("no loop of its assembly adds vectors")
    except MglubenchError as error:
        return [{**head, "status": "error", "reason": str(error)}]
    head |= {"status": "ok", "rows": shape.rows, "unroll": shape.unroll, "ahead": shape.ahead}
    return [{**head, "instructions": len(instructions_of(text)[0]), **_row(loop)}]


def shape_of(kernel: CpuKernel, item: Subject, target: CpuTarget) -> RowShape:
    """The shape of a subject's loop where nothing was tuned."""
    with targeting(target):
        job = kernel.job(H, D, item.nm, 1, item.dtype)
        return kernel.made(job, kernel.rule(job, chip_here()))


def compiler() -> str:
    """The LLVM that compiles."""
    import llvmlite.binding as llvm

    return f"LLVM {'.'.join(map(str, llvm.llvm_version_info))}"


def _row(loop: MainLoop) -> InspectRow:
    weights = loop.weights
    return {
        "loop_instructions": len(loop.instructions),
        "loop_elements": weights,
        "instructions_per_element": len(loop.instructions) / weights,
        "vector_bits": loop.vector_bits,
        "stack_stores": loop.stack_stores,
        "stack_loads": loop.stack_loads,
        "spill_instructions": loop.stack_stores + loop.stack_loads,
        "masked_per_element": loop.masked / weights,
        "loaded_per_element": loop.loaded / weights,
    }
