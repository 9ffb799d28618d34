"""``mglubench build``, ``inspect`` and ``tune``: the compiled kernels, before and beside measuring."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mglubench.cli import options
from mglubench.cli.output import chosen_format, console, print_json, print_tables, progress_bar
from mglubench.errors import UsageError

if TYPE_CHECKING:
    from mglubench.cases.case import Case
    from mglubench.kernels.cuda_build import Target
    from mglubench.runner.tune import Trial

Arch = Annotated[str, typer.Option(help="Architectures, such as sm_80,sm_90a,sm_100a,sm_120a.")]
Nm = Annotated[str, typer.Option(help="Numbers of masks, 1 to 8 or 16.")]
Dtype = Annotated[str, typer.Option(help="float16, bfloat16 (or float32 where a kernel takes it).")]


def build(
    arch: Arch = "sm_80,sm_90a,sm_100a,sm_120a",
    variants: Annotated[str | None, typer.Option(help="CUDA variants. (default: all)")] = None,
    nm: Nm = "1,2,4,8",
    dtype: Dtype = "float16,bfloat16",
    jobs: Annotated[int | None, typer.Option(min=1, help="Compilers at once. (default: one per core)")] = None,
) -> int:
    """Compile the CUDA kernels into the build cache; needs nvcc, no GPU. Exit code 1 if one does not compile."""
    from mglubench.hardware.cuda_toolchain import require_tool
    from mglubench.kernels.cuda_build import build_all, cache_folder

    targets = _targets(arch, variants, nm, dtype)
    require_tool("nvcc")
    failed = 0
    with progress_bar(len(targets), "build") as (progress, task):
        for target, error in build_all(targets, jobs or len(os.sched_getaffinity(0))):
            progress.update(task, advance=1, description=target.label)
            if error:
                failed += 1
                sys.stderr.write(f"error: {error}\n")
    words = f"{len(targets) - failed} of {len(targets)} libraries are in {cache_folder()}"
    console(stderr=True).print(words, markup=False, soft_wrap=True)
    return 1 if failed else 0


def inspect(
    variant: Annotated[str | None, typer.Argument(help="Variant. (default: all with kernels of their own)")] = None,
    arch: Arch = "sm_90a",
    nm: Nm = "8",
    dtype: Dtype = "float16",
    as_json: options.Json = False,
    as_markdown: options.Markdown = False,
) -> int:
    """Registers, spills, occupancy, instructions per weight element and load widths of compiled kernels; no GPU."""
    from mglubench.hardware.cuda_toolchain import require_tool
    from mglubench.report import inspect_sass

    form = chosen_format(as_json=as_json, as_csv=False, as_markdown=as_markdown)
    names = [variant] if variant else []
    wanted = inspect_sass.subjects(names, _archs(arch), _nms(nm), _dtypes(dtype))
    if not wanted:
        raise UsageError(f"{variant} has no kernel for {arch}, nm={nm} and {dtype}")
    for tool in ("nvcc", "cuobjdump"):
        require_tool(tool)
    with progress_bar(len(wanted), "inspect") as (progress, task):
        table = inspect_sass.inspect(
            wanted, finished=lambda item: progress.update(task, advance=1, description=item.variant)
        )
    if form == "json":
        print_json(table.rows)
    else:
        print_tables([table], form)
    return 1 if any(row["status"] != "ok" for row in table.rows) else 0


def tune(
    variants: Annotated[str, typer.Option(help="CUDA variants.")] = "flash-mglu-mma",
    shape: Annotated[str, typer.Option(help="Pairs HxD.")] = "2048x8192",
    nm: Nm = "1,2,4,8",
    batch: Annotated[str, typer.Option(help="Tokens, 1 to 16.")] = "1",
    dtype: Dtype = "float16",
    mode: Annotated[str, typer.Option(help="cold, hot or graph.")] = "cold",
    device: Annotated[str, typer.Option(help="cuda or cuda:N.")] = "cuda",
    seconds: Annotated[float, typer.Option(min=0.01, help="Sampling time per candidate.")] = 0.2,
    as_json: options.Json = False,
) -> int:
    """Search launch choices on this GPU and remember the best per GPU, shape, nm, batch and dtype."""
    given = {"shape": shape, "nm": nm, "batch": batch, "dtype": dtype, "mode": mode, "device": device}
    cases = _tune_cases({**given, "variants": variants, "name": "tune"})
    rows = [_tune_one(case, seconds) for case in cases]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            sys.stdout.write(
                f"{row['case']}: {row['choice']}, {row['median_us']:.2f} us; rule {row['rule_us']}; "
                f"{row['tried']} tried, {row['failed']} failed\n"
            )
    return 0


def _targets(arch: str, names: str | None, nm: str, dtype: str) -> list[Target]:
    from mglubench.hardware.cuda_toolchain import capability
    from mglubench.runner.tune import tunable
    from mglubench.variants.cuda_kernels import KERNELS

    wanted = _items(names, "variants") if names else [kernel.name for kernel in KERNELS]
    targets = [
        variant.target(one, count, kind, variant.usual_choice(one, count))
        for variant in map(tunable, wanted)
        for one in _archs(arch)
        if capability(one) >= variant.oldest
        for count in _nms(nm)
        for kind in _dtypes(dtype)
        if kind in variant.dtypes
    ]
    if not targets:
        raise UsageError("nothing to build: no kernel takes these architectures and dtypes")
    return list(dict.fromkeys(targets))


def _tune_cases(options: dict[str, Any]) -> list[Case]:
    """The cases to tune; refuses what has no GPU before anything is built."""
    from mglubench.cases.config import build_spec
    from mglubench.executors.local import require_device
    from mglubench.runner.tune import tunable
    from mglubench.variants.registry import has_masks

    spec = build_spec(options)
    for name in spec.variants:
        tunable(name)
    for device in spec.device:
        if not device.startswith("cuda"):
            raise UsageError(f"device {device!r} cannot be tuned; only the CUDA kernels have launch choices")
        require_device(device)
    return spec.cases(has_masks)


def _tune_one(case: Case, seconds: float) -> dict[str, Any]:
    from mglubench.executors.local import LocalSession
    from mglubench.kernels.cuda_build import build_all
    from mglubench.kernels.cuda_heuristics import candidates
    from mglubench.kernels.on_device import gpu_of
    from mglubench.runner.tune import keep, search, tunable
    from mglubench.variants.cuda_kernels import job_of

    variant, gpu = tunable(case.variant), gpu_of(case.device)
    if reason := variant.why_unavailable("cuda") or variant.why_unsupported(case):
        raise UsageError(f"{case.variant}: {reason}")
    choices = candidates(job_of(variant, case), gpu)
    targets = list(dict.fromkeys(variant.target(gpu.arch, case.nm, case.dtype, choice) for choice in choices))
    with progress_bar(len(targets) + len(choices), case.key) as (progress, task):
        for target, _ in build_all(targets, len(os.sched_getaffinity(0))):
            progress.update(task, advance=1, description=f"build {target.label}")

        def tried(trial: Trial) -> None:
            progress.update(task, advance=1, description=f"{case.key} {trial.choice}")

        session = LocalSession()
        try:
            trials = search(session, case, gpu, seconds, tried)
        finally:
            session.close()
    best = keep(case, gpu, trials)
    rule = next(trial for trial in trials if trial.choice == choices[0])
    return {
        "case": case.key,
        "gpu": gpu.name,
        **best.choice.to_dict(),
        "choice": str(best.choice),
        "median_us": (best.median_ns or 0.0) / 1e3,
        "rule_us": None if rule.median_ns is None else round(rule.median_ns / 1e3, 2),
        "tried": len(trials),
        "failed": sum(trial.median_ns is None for trial in trials),
    }


def _archs(text: str) -> list[str]:
    from mglubench.hardware.cuda_toolchain import architecture_name
    from mglubench.kernels.occupancy import limits_of

    names = [architecture_name(item) for item in _items(text, "arch")]
    for name in names:
        limits_of(name)
    return names


def _nms(text: str) -> list[int]:
    from mglubench.cases.sweep_spec import parse_int

    numbers = [parse_int(item, "nm") for item in _items(text, "nm")]
    for value in numbers:
        if not (1 <= value <= 8 or value == 16):
            raise UsageError(f"nm must be 1 to 8 or 16, got {value}")
    return numbers


def _dtypes(text: str) -> list[str]:
    from mglubench.cases.vocabulary import dtype_name

    return [dtype_name(item) for item in _items(text, "dtype")]


def _items(text: str, what: str) -> list[str]:
    from mglubench.cases.config import as_list

    return list(dict.fromkeys(as_list(text, what)))
