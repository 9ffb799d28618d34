"""``mglubench tune``: search launch choices on the GPU or CPU at hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mglubench.cli import kernel_options, options
from mglubench.cli.output import print_json, publish_json
from mglubench.cli.progress_line import progress_bar

if TYPE_CHECKING:
    from mglubench.cases.case import Case
    from mglubench.runner.tune import TuneRow


DEFAULTS = {
    "cpu": {"variants": "mglu-numba-cpu,swiglu-numba-cpu", "dtype": "float32"},
    "cuda": {"variants": "flash-mglu-mma", "dtype": "float16"},
}


def tune(
    variants: Annotated[str | None, options.what("Variants. (default: by device)")] = None,
    shape: Annotated[str, options.what("Pairs HxD.")] = "2048x8192",
    nm: kernel_options.Nm = "1,2,4,8",
    batch: Annotated[str, options.what("Tokens, 1 to 16.", options.WHOLE_NUMBERS)] = "1",
    dtype: Annotated[str | None, options.what("float32 (CPU), float16, bfloat16. (default: by device)")] = None,
    mode: Annotated[str, options.what("cold; on a GPU also hot or graph.")] = "cold",
    device: Annotated[str | None, options.what("cpu, cuda, cuda:N. (default: CUDA if there is one)")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Sampling time per candidate.")] = 0.2,
    plugin: options.Plugin = None,
    as_json: options.Json = False,
    out_json: options.OutJson = None,
) -> int:
    """Search launch choices on this GPU or CPU and remember the best per machine, shape, nm, batch and dtype."""
    device = device or _device(variants)
    usual = DEFAULTS["cuda" if device.startswith("cuda") else "cpu"]
    given = {"shape": shape, "nm": nm, "batch": batch, "dtype": dtype or usual["dtype"], "mode": mode, "device": device}
    names = variants or ",".join([usual["variants"], *_asked(device)])
    cases = _cases({**given, "variants": names, "name": "tune"})
    rows = [_tuned(case, seconds) for case in cases]
    publish_json(rows, out_json)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            sys.stdout.write(
                f"{row['case']}: {row['choice']}, {row['median_us']:.2f} us; rule {row['rule_us']}; "
                f"{row['tried']} tried, {row['failed']} failed\n"
            )
    return 0


def _asked(device: str) -> list[str]:
    """What files of the user offer to be tuned on this device."""
    from mglubench.kernels.cpu_choice import CpuKernel
    from mglubench.kernels.cuda_kernel import CudaKernel
    from mglubench.variants.registry import asked_kernels

    return asked_kernels(CudaKernel if device.startswith("cuda") else CpuKernel)


def _device(names: str | None) -> str:
    """Where these variants run; without names, CUDA if there is one."""
    from mglubench.kernels.cpu_choice import CpuKernel
    from mglubench.runner.tune import tunable

    if names:
        kernels = [tunable(name) for name in kernel_options.items(names, "variants")]
        return "cpu" if all(isinstance(kernel, CpuKernel) for kernel in kernels) else "cuda"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _cases(given: Mapping[str, str]) -> list[Case]:
    """The cases to tune; refuses what cannot run here before anything is built."""
    from mglubench.cases.config import build_spec
    from mglubench.executors.local import require_device
    from mglubench.runner.tune import tunable
    from mglubench.variants.registry import has_masks

    spec = build_spec(given)
    for name in spec.variants:
        tunable(name)
    for device in spec.device:
        require_device(device)
    return spec.cases(has_masks)


def _tuned(case: Case, seconds: float) -> TuneRow:
    from mglubench.runner.tune import plan_search, tune_case

    planned = plan_search(case)
    with progress_bar(planned.steps, case.key) as (progress, task):
        return tune_case(planned, seconds, lambda step: progress.update(task, advance=1, description=step))
