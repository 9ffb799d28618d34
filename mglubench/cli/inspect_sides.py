"""The two kinds of kernels that ``mglubench inspect`` looks at: those of nvcc for GPUs, those of LLVM for CPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mglubench.cli import kernel_options
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.kernels.inspect import InspectRow, Subject
    from mglubench.report.table import Table

Names = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Side:
    """One kind.

    Attributes:
        archs, dtypes: read a list on the command line. arch, dtype: what is looked at if none is given. subjects: all
            combinations of (variants, archs, nms, dtypes). examine: what the compiler makes of one. compiler: its
            version. table: of rows. require: raises :class:`UsageError` if what compiles is not here.
    """

    archs: Names
    dtypes: Names
    arch: str
    dtype: str
    subjects: Callable[[Sequence[str], Sequence[str], Sequence[int], Sequence[str]], list[Subject]]
    examine: Callable[[Subject], list[InspectRow]]
    compiler: Callable[[], str]
    table: Callable[[Sequence[InspectRow]], Table]
    require: Callable[[], None]


def side_of(device: str | None, variant: str | None) -> Side:
    """The kind that was asked for: by device, or by a variant that runs on a CPU.

    Raises:
        UsageError: another device.
    """
    from mglubench.variants.registry import cpu_kernels

    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"device must be cpu or cuda, got {device!r}")
    return _cpu() if device == "cpu" or (device is None and variant in cpu_kernels()) else _cuda()


def _cuda() -> Side:
    from mglubench.hardware.cuda_toolchain import compiler_release, require_tool
    from mglubench.kernels.inspect import examine, subjects
    from mglubench.report.inspect_sass import inspect_table
    from mglubench.variants.registry import inspectable

    known = inspectable()

    def require() -> None:
        for tool in ("nvcc", "cuobjdump"):
            require_tool(tool)

    return Side(
        archs=kernel_options.archs,
        dtypes=kernel_options.dtypes,
        arch="sm_90a",
        dtype="float16",
        subjects=lambda *chosen: subjects(known, *chosen),
        examine=lambda item: examine(known[item.variant], item),
        compiler=compiler_release,
        table=inspect_table,
        require=require,
    )


def _cpu() -> Side:
    from mglubench.kernels.cpu_inspect import compiler, cpu_subjects, examine_on_cpu, target_names
    from mglubench.report.inspect_assembly import assembly_table
    from mglubench.variants.registry import cpu_kernels

    known = cpu_kernels()
    return Side(
        archs=lambda text: target_names(kernel_options.items(text, "arch")),
        dtypes=kernel_options.dtypes,
        arch="here,avx2,neon",
        dtype="float32",
        subjects=lambda *chosen: cpu_subjects(known, *chosen),
        examine=lambda item: examine_on_cpu(known[item.variant], item),
        compiler=compiler,
        table=assembly_table,
        require=lambda: None,
    )
