"""Kernels out of an ``.ncu-rep`` file, through NVIDIA's package ``ncu_report``. Needs no GPU, no ncu.

Source: Nsight Compute, "Python Report Interface".
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from mglubench.errors import UnavailableError, UsageError
from mglubench.hardware.counter_names import DOMAIN, Kernel
from mglubench.results.read_ncu import HOW, WANTED
from mglubench.results.units import scaled

MAGIC = b"NVR"


def read_report(path: Path) -> list[Kernel]:
    """Kernels of an ``.ncu-rep`` file.

    Raises:
        UnavailableError: the package ``ncu_report`` is not installed. UsageError: not a report, or an empty one.
    """
    try:
        import ncu_report
    except ImportError:
        raise UnavailableError(
            "reading .ncu-rep needs NVIDIA's ncu_report: pip install mglubench[profile]; or export a CSV where ncu is: "
            f"ncu --import {path.name} --csv --page raw --print-units base"
        ) from None
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UsageError(f"{path} holds no profiled kernel: it is no Nsight Compute report; {HOW}")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        with _errors_kept() as errors:
            context = ncu_report.load_report(str(path))
            parts = [context.range_by_idx(index) for index in range(context.num_ranges())]
            kernels = [_kernel(action) for part in parts for action in _actions(part)]
        if complaint := next((line for line in errors if "parse" in line), ""):
            raise ValueError(f"it is damaged or was cut short ({complaint[:200]})")
        if any(not kernel.name for kernel in kernels):
            raise ValueError("it is damaged or was cut short (a kernel without a name)")
    except Exception as error:  # whatever a reader written in C++ makes of a damaged or newer file
        raise UsageError(f"cannot read {path}: {error or type(error).__name__}; {_NEWER}") from None
    if not kernels:
        raise UsageError(f"{path} holds no profiled kernel that this ncu_report can read; {_NEWER}")
    return kernels


_NEWER = "if a newer Nsight Compute wrote it: pip install -U ncu-report, or with the ncu that wrote it " + HOW


@contextmanager
def _errors_kept() -> Iterator[list[str]]:
    """What NVIDIA's library prints of errors, by line, instead of on standard error; filled at the end."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        saved = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            lines += [" ".join(line.split()) for line in file.read().decode(errors="replace").splitlines()]


def _actions(part: Any) -> list[Any]:
    return [part.action_by_idx(index) for index in range(part.num_actions())]


def _kernel(action: Any) -> Kernel:
    found = {name: metric for name in WANTED if (metric := action.metric_by_name(name)) is not None}
    counted = {name: metric for name, metric in found.items() if metric.has_value() and isfinite(metric.as_double())}
    values = {name: scaled(metric.as_double(), metric.unit(), name) for name, metric in counted.items()}
    return Kernel(
        action.name(), frozenset(_report_ranges(action.nvtx_state())), values, frozenset(found.keys() - values.keys())
    )


def _report_ranges(state: Any) -> Iterator[str]:
    if state is None:
        return
    for number in state.domains():
        domain = state.domain_by_id(number)
        if domain is not None and domain.name() == DOMAIN:
            yield from domain.push_pop_ranges()
            yield from domain.start_end_ranges()
