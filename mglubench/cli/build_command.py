"""``mglubench build``: compile the CUDA kernels ahead."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import kernel_options as options
from mglubench.cli.options import OutJson, Plugin, what
from mglubench.cli.output import publish_json, say
from mglubench.cli.progress_line import counted
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.kernels.cuda_build import Target


def build(
    arch: options.Arch = "sm_80,sm_90a,sm_100a,sm_120a",
    variants: Annotated[str | None, what("CUDA variants. (default: all)")] = None,
    nm: options.Nm = "1,2,4,8",
    dtype: options.Dtype = "float16,bfloat16",
    jobs: Annotated[int | None, typer.Option(min=1, help="Compilers at once. (default: one per core)")] = None,
    plugin: Plugin = None,
    out_json: OutJson = None,
) -> int:
    """Compile the CUDA kernels into the build cache; needs nvcc, no GPU. Exit code 1 if one does not compile."""
    from mglubench.hardware.cuda_toolchain import require_tool
    from mglubench.kernels.cuda_build import build_all, cache_folder
    from mglubench.system.limits import affinity

    targets = _targets(arch, variants, nm, dtype)
    require_tool("nvcc")
    failures: list[str] = []
    names = ", ".join(dict.fromkeys(target.kernel for target in targets))
    say(f"building {len(targets)} libraries of {names} into {cache_folder()}")
    with counted(len(targets), "build") as tell:
        for target, error in build_all(targets, jobs or affinity()):
            tell(target.label)
            if error:
                failures.append(str(error))
                sys.stderr.write(f"error: {error}\n")
    words = f"{len(targets) - len(failures)} of {len(targets)} libraries are in {cache_folder()}"
    publish_json({"summary": words, "targets": len(targets), "failures": failures}, out_json)
    say(words)
    return 1 if failures else 0


def _targets(arch: str, names: str | None, nm: str, dtype: str) -> list[Target]:
    from mglubench.hardware.cuda_toolchain import capability
    from mglubench.kernels.cuda_kernel import CudaKernel
    from mglubench.runner.tune import tunable
    from mglubench.variants.cuda_kernels import KERNELS
    from mglubench.variants.registry import asked_kernels

    usual = (*(kind.name for kind in KERNELS), *asked_kernels(CudaKernel))
    wanted = options.items(names, "variants") if names else usual
    targets = [
        kernel.target(one, count, kind, kernel.usual_choice(one, count))
        for kernel in (tunable(name) for name in wanted)
        if isinstance(kernel, CudaKernel)
        for one in options.archs(arch)
        for count in options.nms(nm)
        for kind in options.dtypes(dtype)
        if capability(one) >= kernel.oldest_for(kind)
        if kind in (*kernel.dtypes, *kernel.formats) and (count in kernel.nms or not kernel.masked)
    ]
    if not targets:
        raise UsageError("nothing to build: no kernel takes these architectures and dtypes")
    return list(dict.fromkeys(targets))
